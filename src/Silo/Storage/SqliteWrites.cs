using System.Collections.Immutable;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Federation.Silo.Storage;

/// <summary>The writes of one connection of the pool: each text is prepared once in the connection's life, and then only bound anew. For one thread at a time.</summary>
internal sealed class SqliteWrites(sqlite3 connection) : IDisposable
{
    // The hub says the same few dozen things over and over.
    private const int PreparedMax = 128;

    private readonly Dictionary<string, Prepared> _prepared = new(StringComparer.Ordinal);

    /// <summary>Runs a statement within the connection's transaction.</summary>
    /// <exception cref="SqliteException">SQLite refused it.</exception>
    public void Execute(SqlStatement statement)
    {
        if (!_prepared.TryGetValue(statement.Text, out var prepared))
        {
            if (_prepared.Count >= PreparedMax) Dispose();
            _prepared[statement.Text] = prepared = new Prepared(connection, statement.Text);
        }
        prepared.Execute(statement.Parameters);
    }

    /// <summary>Forgets all that is prepared.</summary>
    public void Dispose()
    {
        foreach (var prepared in _prepared.Values) prepared.Dispose();
        _prepared.Clear();
    }

    private sealed class Prepared : IDisposable
    {
        private readonly sqlite3 _connection;
        private readonly sqlite3_stmt _statement;

        // By place, the first at 0; without the @.
        private readonly string[] _names;

        // Where each was found last: the same text nearly always comes with the same parameters in the same order.
        private readonly int[] _found;

        public Prepared(sqlite3 connection, string text)
        {
            _connection = connection;
            SqliteException.ThrowExceptionForRC(raw.sqlite3_prepare_v2(connection, text, out _statement, out var rest), connection);
            if (!string.IsNullOrWhiteSpace(rest)) throw new ArgumentException("One statement at a time.", nameof(text));
            _names = new string[raw.sqlite3_bind_parameter_count(_statement)];
            _found = new int[_names.Length];
            for (var i = 0; i < _names.Length; i++) _names[i] = raw.sqlite3_bind_parameter_name(_statement, i + 1).utf8_to_string()[1..];
        }

        public void Execute(ImmutableArray<(string Name, object Value)> parameters)
        {
            try
            {
                for (var i = 0; i < _names.Length; i++) Check(Bind(i + 1, ValueOf(i, parameters)));
                int code;
                do
                {
                    code = raw.sqlite3_step(_statement);
                }
                while (code == raw.SQLITE_ROW);
                Check(code);
            }
            finally
            {
                // Says once more what step said.
                raw.sqlite3_reset(_statement);
                raw.sqlite3_clear_bindings(_statement);
            }
        }

        public void Dispose() => _statement.Dispose();

        private object ValueOf(int place, ImmutableArray<(string Name, object Value)> parameters)
        {
            var name = _names[place];
            if (_found[place] < parameters.Length && parameters[_found[place]].Name == name) return parameters[_found[place]].Value;
            for (var i = 0; i < parameters.Length; i++)
            {
                if (parameters[i].Name != name) continue;
                _found[place] = i;
                return parameters[i].Value;
            }
            throw new InvalidOperationException($"The statement has a parameter @{name}, which was not given.");
        }

        private int Bind(int place, object value) => value switch
        {
            string text => raw.sqlite3_bind_text(_statement, place, text),
            long number => raw.sqlite3_bind_int64(_statement, place, number),
            byte[] { Length: 0 } => raw.sqlite3_bind_zeroblob(_statement, place, 0),
            byte[] bytes => raw.sqlite3_bind_blob(_statement, place, bytes),
            DBNull => raw.sqlite3_bind_null(_statement, place),
            _ => throw new InvalidOperationException($"A {value.GetType().Name} is no value of a statement."),
        };

        private void Check(int code)
        {
            if (code is not (raw.SQLITE_OK or raw.SQLITE_DONE)) SqliteException.ThrowExceptionForRC(code, _connection);
        }
    }
}
