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

    private readonly BuiltinOptions options;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly SemaphoreSlim scanning = new(1, 1);
    private readonly Lock books = new();
    private readonly Dictionary<string, Place> loaded = [];
    private readonly ITimer sweep;

    /// <summary>Files seen by the last scan; null for one that is no model.</summary>
    private ImmutableDictionary<FileVersion, ModelCard?> seen = ImmutableDictionary<FileVersion, ModelCard?>.Empty;
    private volatile ImmutableSortedDictionary<string, ModelCard> cards = ImmutableSortedDictionary.Create<string, ModelCard>(StringComparer.Ordinal);

    public ModelShelf(BuiltinOptions options, TimeProvider time, ILogger logger)
    {
        (this.options, this.time, this.logger) = (options, time, logger);
        sweep = time.CreateTimer(_ => Sweep(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Looks into the folders and reads the headers of files that are new or have changed. Ordered by name.</summary>
    public async Task<ImmutableArray<EngineModel>> ScanAsync(CancellationToken cancellationToken)
    {
        await scanning.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var now = ImmutableDictionary.CreateBuilder<FileVersion, ModelCard?>();
            var named = ImmutableSortedDictionary.CreateBuilder<string, ModelCard>(StringComparer.Ordinal);
            foreach (var file in Files())
            {
                var card = seen.TryGetValue(file, out var known) ? known : await TryReadAsync(file, cancellationToken).ConfigureAwait(false);
                now[file] = card;
                if (card is not null)
                {
                    named.TryAdd(card.Name, card);
                }
            }

            seen = now.ToImmutable();
            cards = named.ToImmutable();
        }
        finally
        {
            scanning.Release();
        }

        lock (books)
        {
            return [.. cards.Values.Select(card => card.ToEngineModel(loaded.TryGetValue(card.Name, out var place) && place.IsReady(card)))];
        }
    }

    /// <summary>Gives a model, loading it if need be; null when there is none of that name. Give it back with <see cref="Loan.Dispose"/>.</summary>
    /// <exception cref="ShelfFullException">Another model would have to leave, and all are in use.</exception>
    /// <exception cref="GgufFormatException">The file's weights are not what its header promises.</exception>
    /// <exception cref="IOException">The file cannot be read, or has changed just now.</exception>
    public async Task<Loan?> BorrowAsync(string name, CancellationToken cancellationToken)
    {
        if (!cards.TryGetValue(name, out var card))
        {
            await ScanAsync(cancellationToken).ConfigureAwait(false);
            if (!cards.TryGetValue(name, out card))
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
        sweep.Dispose();
        scanning.Dispose();
    }

    private IEnumerable<FileVersion> Files() => options.Directories.SelectMany(FilesIn).Take(ModelsMax);

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
            return await ModelCard.ReadAsync(file, options, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is GgufFormatException or IOException or UnauthorizedAccessException)
        {
            LogNotAModel(file.Path, e.Message);
            return null;
        }
    }

    private Place Take(ModelCard card)
    {
        lock (books)
        {
            if (loaded.TryGetValue(card.Name, out var place) && place.Card == card && !place.Model.IsFaulted)
            {
                place.Users++;
                return place;
            }

            // A changed file takes its predecessor's place; who still reads the old one keeps it until done.
            loaded.Remove(card.Name);
            MakeRoom();
            place = new Place(card, Task.Run(() => Load(card)));
            loaded[card.Name] = place;
            return place;
        }
    }

    private LoadedModel Load(ModelCard card)
    {
        var start = time.GetTimestamp();
        var model = LoadedModel.Load(card, options.Slots, CancellationToken.None);
        LogLoaded(card.Name, time.GetElapsedTime(start).TotalSeconds);
        return model;
    }

    private void MakeRoom()
    {
        if (loaded.Count < options.LoadedModelsMax)
        {
            return;
        }

        var longestIdle = loaded.Values.Where(place => place.Users == 0).MinBy(place => place.IdleSince)
            ?? throw new ShelfFullException(options.LoadedModelsMax);
        Unload(longestIdle);
    }

    private void GiveBack(Place place)
    {
        lock (books)
        {
            place.Users--;
            place.IdleSince = time.GetTimestamp();
            if (place.Users == 0)
            {
                sweep.Change(options.KeepLoaded, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private void Sweep()
    {
        lock (books)
        {
            var idle = loaded.Values.Where(place => place.Users == 0).ToArray();
            foreach (var place in idle)
            {
                if (time.GetElapsedTime(place.IdleSince) >= options.KeepLoaded)
                {
                    Unload(place);
                }
            }

            if (loaded.Values.Any(place => place.Users == 0))
            {
                sweep.Change(options.KeepLoaded, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private void Unload(Place place)
    {
        loaded.Remove(place.Card.Name);
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
        private int returned;

        public LoadedModel Model { get; } = model;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref returned, 1) == 0)
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
