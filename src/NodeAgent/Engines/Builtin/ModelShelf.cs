using System.Collections.Immutable;
using Federation.NodeAgent.Engines.Builtin.Gguf;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>A model cannot be lent now: all that are in memory are in use, and no more may be.</summary>
internal sealed class ShelfFullException(int limit) : Exception($"{limit} models are in use, and no more may be in memory");

/// <summary>The models in the engine's folders, and those of them that are in memory. Thread-safe.</summary>
internal sealed partial class ModelShelf : IDisposable
{
    private const int ModelsMax = 1024;

    private readonly BuiltinOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly SemaphoreSlim _scanning = new(1, 1);
    private readonly Lock _books = new();
    private readonly Dictionary<string, Place> _loaded = [];
    private readonly ITimer _sweep;

    /// <summary>Files seen by the last scan; null for one that is no model.</summary>
    private ImmutableDictionary<FileVersion, ModelCard?> _seen = ImmutableDictionary<FileVersion, ModelCard?>.Empty;
    private volatile ImmutableSortedDictionary<string, ModelCard> _cards = ImmutableSortedDictionary.Create<string, ModelCard>(StringComparer.Ordinal);

    public ModelShelf(BuiltinOptions options, TimeProvider time, ILogger logger)
    {
        (_options, _time, _logger) = (options, time, logger);
        _sweep = time.CreateTimer(_ => Sweep(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Looks into the folders and reads the headers of files that are new or have changed. Ordered by name.</summary>
    public async Task<ImmutableArray<EngineModel>> ScanAsync(CancellationToken cancellationToken)
    {
        await _scanning.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var now = ImmutableDictionary.CreateBuilder<FileVersion, ModelCard?>();
            var named = ImmutableSortedDictionary.CreateBuilder<string, ModelCard>(StringComparer.Ordinal);
            foreach (var file in Files())
            {
                var card = _seen.TryGetValue(file, out var known) ? known : await TryReadAsync(file, cancellationToken).ConfigureAwait(false);
                now[file] = card;
                if (card is not null)
                {
                    named.TryAdd(card.Name, card);
                }
            }

            _seen = now.ToImmutable();
            _cards = named.ToImmutable();
        }
        finally
        {
            _scanning.Release();
        }

        lock (_books)
        {
            return [.. _cards.Values.Select(card => card.ToEngineModel(_loaded.TryGetValue(card.Name, out var place) && place.IsReady(card)))];
        }
    }

    /// <summary>Gives a model, loading it if need be; null when there is none of that name. Give it back with <see cref="Loan.Dispose"/>.</summary>
    /// <exception cref="ShelfFullException">Another model would have to leave, and all are in use.</exception>
    /// <exception cref="GgufFormatException">The file's weights are not what its header promises.</exception>
    /// <exception cref="IOException">The file cannot be read, or has changed just now.</exception>
    public async Task<Loan?> BorrowAsync(string name, CancellationToken cancellationToken)
    {
        if (!_cards.TryGetValue(name, out var card))
        {
            await ScanAsync(cancellationToken).ConfigureAwait(false);
            if (!_cards.TryGetValue(name, out card))
            {
                return null;
            }
        }

        var place = Take(card);
        try
        {
            return new Loan(this, place, await place.Model.WaitAsync(cancellationToken).ConfigureAwait(false));
        }
        catch
        {
            GiveBack(place);
            throw;
        }
    }

    public void Dispose()
    {
        _sweep.Dispose();
        _scanning.Dispose();
    }

    private IEnumerable<FileVersion> Files() => _options.Directories.SelectMany(FilesIn).Take(ModelsMax);

    private FileVersion[] FilesIn(string path)
    {
        try
        {
            var directory = new DirectoryInfo(path);
            return directory.Exists
                ? [.. directory.EnumerateFiles("*.gguf").OrderBy(file => file.Name, StringComparer.Ordinal).Where(file => file.Exists).Select(FileVersion.Of)]
                : [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogUnreadableFolder(path, e.Message);
            return [];
        }
    }

    private async Task<ModelCard?> TryReadAsync(FileVersion file, CancellationToken cancellationToken)
    {
        try
        {
            return await ModelCard.ReadAsync(file, _options, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is GgufFormatException or IOException or UnauthorizedAccessException)
        {
            LogNotAModel(file.Path, e.Message);
            return null;
        }
    }

    private Place Take(ModelCard card)
    {
        lock (_books)
        {
            if (_loaded.TryGetValue(card.Name, out var place) && place.Card == card && !place.Model.IsFaulted)
            {
                place.Users++;
                return place;
            }

            // A changed file takes its predecessor's place; who still reads the old one keeps it until done.
            _loaded.Remove(card.Name);
            MakeRoom();
            place = new Place(card, Task.Run(() => Load(card)));
            _loaded[card.Name] = place;
            return place;
        }
    }

    private LoadedModel Load(ModelCard card)
    {
        var start = _time.GetTimestamp();
        var model = LoadedModel.Load(card, _options.Slots, CancellationToken.None);
        LogLoaded(card.Name, _time.GetElapsedTime(start).TotalSeconds);
        return model;
    }

    private void MakeRoom()
    {
        if (_loaded.Count < _options.LoadedModelsMax)
        {
            return;
        }

        var longestIdle = _loaded.Values.Where(place => place.Users == 0).MinBy(place => place.IdleSince)
            ?? throw new ShelfFullException(_options.LoadedModelsMax);
        Unload(longestIdle);
    }

    private void GiveBack(Place place)
    {
        lock (_books)
        {
            place.Users--;
            place.IdleSince = _time.GetTimestamp();
            if (place.Users == 0)
            {
                _sweep.Change(_options.KeepLoaded, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private void Sweep()
    {
        lock (_books)
        {
            var idle = _loaded.Values.Where(place => place.Users == 0).ToArray();
            foreach (var place in idle)
            {
                if (_time.GetElapsedTime(place.IdleSince) >= _options.KeepLoaded)
                {
                    Unload(place);
                }
            }

            if (_loaded.Values.Any(place => place.Users == 0))
            {
                _sweep.Change(_options.KeepLoaded, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private void Unload(Place place)
    {
        _loaded.Remove(place.Card.Name);
        LogUnloaded(place.Card.Name);
    }

    [LoggerMessage(2101, LogLevel.Warning, "{Path} is not a model the builtin engine can run: {Reason}. It is left out until the file changes.")]
    private partial void LogNotAModel(string path, string reason);

    [LoggerMessage(2104, LogLevel.Debug, "The models folder {Path} cannot be read: {Reason}.")]
    private partial void LogUnreadableFolder(string path, string reason);

    [LoggerMessage(2102, LogLevel.Information, "Model {Name} is in memory, loaded in {Seconds:0.000} s.")]
    private partial void LogLoaded(string name, double seconds);

    [LoggerMessage(2103, LogLevel.Information, "Model {Name} left memory.")]
    private partial void LogUnloaded(string name);

    /// <summary>A model in use; dispose it when done.</summary>
    internal sealed class Loan(ModelShelf shelf, Place place, LoadedModel model) : IDisposable
    {
        private int _returned;

        public LoadedModel Model { get; } = model;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _returned, 1) == 0)
            {
                shelf.GiveBack(place);
            }
        }
    }

    /// <summary>A model that is in memory or on its way there. Guarded by the shelf's lock.</summary>
    internal sealed class Place(ModelCard card, Task<LoadedModel> model)
    {
        public ModelCard Card { get; } = card;

        public Task<LoadedModel> Model { get; } = model;

        public int Users { get; set; } = 1;

        public long IdleSince { get; set; }

        public bool IsReady(ModelCard card) => Card == card && Model.IsCompletedSuccessfully;
    }
}
