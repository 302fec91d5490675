// SPDX-License-Identifier: Apache-2.0
using Orleans.Runtime;

namespace Orleans
{
    /// <summary>A grain's state on its way to or from storage.</summary>
    /// <typeparam name="T">The state.</typeparam>
    public interface IGrainState<T>
    {
        /// <summary>The state.</summary>
        T? State { get; set; }

        /// <summary>The version that was read or written last; null when none was.</summary>
        string? ETag { get; set; }

        /// <summary>Whether storage has the state.</summary>
        bool RecordExists { get; set; }
    }

    /// <inheritdoc cref="IGrainState{T}"/>
    [GenerateSerializer]
    public sealed class GrainState<T> : IGrainState<T>
    {
        /// <summary>No state.</summary>
        public GrainState()
            : this(default, null)
        {
        }

        /// <summary>A state that was never stored.</summary>
        public GrainState(T? state)
            : this(state, null)
        {
        }

        /// <summary>A state and its version.</summary>
        public GrainState(T? state, string? eTag)
        {
            State = state;
            ETag = eTag;
        }

        /// <inheritdoc/>
        [Id(0)]
        public T? State { get; set; }

        /// <inheritdoc/>
        [Id(1)]
        public string? ETag { get; set; }

        /// <inheritdoc/>
        [Id(2)]
        public bool RecordExists { get; set; }
    }
}

namespace Orleans.Storage
{
    /// <summary>
    /// Keeps the states of grains. Registered under a name: <c>services.AddKeyedSingleton&lt;IGrainStorage&gt;("name", …)</c> or
    /// <c>services.AddGrainStorage("name", …)</c>. Called inside turns of the grain.
    /// </summary>
    public interface IGrainStorage
    {
        /// <summary>Reads into <paramref name="grainState"/>; without a record, a fresh state and no version.</summary>
        Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState);

        /// <summary>Writes <paramref name="grainState"/> and sets its new version.</summary>
        /// <exception cref="InconsistentStateException">The version given is not the stored one.</exception>
        Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState);

        /// <summary>Deletes the record and resets <paramref name="grainState"/>.</summary>
        /// <exception cref="InconsistentStateException">The version given is not the stored one.</exception>
        Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState);

        /// <inheritdoc cref="ReadStateAsync{T}(string, GrainId, IGrainState{T})"/>
        Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return ReadStateAsync(stateName, grainId, grainState);
        }

        /// <inheritdoc cref="WriteStateAsync{T}(string, GrainId, IGrainState{T})"/>
        Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return WriteStateAsync(stateName, grainId, grainState);
        }

        /// <inheritdoc cref="ClearStateAsync{T}(string, GrainId, IGrainState{T})"/>
        Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return ClearStateAsync(stateName, grainId, grainState);
        }
    }

    /// <summary>
    /// The state was changed by someone else since it was read. When it leaves the grain that wrote, that activation ends, and the
    /// next call finds fresh state.
    /// </summary>
    [GenerateSerializer]
    public class InconsistentStateException : OrleansException
    {
        /// <summary>A conflict.</summary>
        public InconsistentStateException()
        {
        }

        /// <summary>A conflict.</summary>
        public InconsistentStateException(string message)
            : base(message)
        {
        }

        /// <summary>A conflict and its cause.</summary>
        public InconsistentStateException(string message, Exception? innerException)
            : base(message, innerException)
        {
        }

        /// <summary>A conflict between two versions.</summary>
        public InconsistentStateException(string errorMsg, string? storedEtag, string? currentEtag)
            : this(errorMsg, storedEtag, currentEtag, null)
        {
        }

        /// <summary>A conflict between two versions and its cause.</summary>
        public InconsistentStateException(string errorMsg, string? storedEtag, string? currentEtag, Exception? storageException)
            : base(errorMsg, storageException)
        {
            StoredEtag = storedEtag;
            CurrentEtag = currentEtag;
        }

        /// <summary>A conflict between two versions and its cause.</summary>
        public InconsistentStateException(string? storedEtag, string? currentEtag, Exception storageException)
            : this(storageException?.Message ?? string.Empty, storedEtag, currentEtag, storageException)
        {
        }

        /// <summary>The version in storage.</summary>
        [Id(1)]
        public string? StoredEtag { get; private set; }

        /// <summary>The version the grain had.</summary>
        [Id(2)]
        public string? CurrentEtag { get; private set; }

        /// <summary>True until an activation has ended for it, so that its callers do not end too.</summary>
        internal bool IsSourceActivation { get; set; } = true;

        /// <inheritdoc/>
        public override string ToString() =>
            $"InconsistentStateException: {Message} Expected Etag={CurrentEtag} Received Etag={StoredEtag} {InnerException}";
    }
}

namespace Orleans.Core
{
    /// <summary>A state that is stored.</summary>
    public interface IStorage
    {
        /// <summary>The version that was read or written last; null when none was.</summary>
        string? Etag { get; }

        /// <summary>Whether storage had the state when last read or written.</summary>
        bool RecordExists { get; }

        /// <summary>Deletes the stored state.</summary>
        Task ClearStateAsync();

        /// <summary>Writes the state in memory.</summary>
        Task WriteStateAsync();

        /// <summary>Reads the stored state into memory.</summary>
        Task ReadStateAsync();

        /// <inheritdoc cref="ClearStateAsync()"/>
        Task ClearStateAsync(CancellationToken cancellationToken) => ClearStateAsync();

        /// <inheritdoc cref="WriteStateAsync()"/>
        Task WriteStateAsync(CancellationToken cancellationToken) => WriteStateAsync();

        /// <inheritdoc cref="ReadStateAsync()"/>
        Task ReadStateAsync(CancellationToken cancellationToken) => ReadStateAsync();
    }

    /// <summary>A state that is stored, and its value.</summary>
    public interface IStorage<TState> : IStorage
    {
        /// <summary>The state in memory.</summary>
        TState State { get; set; }
    }
}

namespace Orleans.Runtime
{
    /// <summary>One named state of a grain, injected through its constructor and read before the grain activates.</summary>
    /// <typeparam name="TState">The state, with a parameterless constructor.</typeparam>
    public interface IPersistentState<TState> : Core.IStorage<TState>;

    /// <summary>Names an <see cref="IPersistentState{TState}"/> constructor parameter.</summary>
    /// <param name="stateName">The state's name, part of its key in storage.</param>
    /// <param name="storageName">The storage's name; null for the default storage.</param>
    [AttributeUsage(AttributeTargets.Parameter)]
    public class PersistentStateAttribute(string stateName, string? storageName = null) : Attribute
    {
        /// <summary>The state's name.</summary>
        public string StateName { get; } = stateName;

        /// <summary>The storage's name; null for the default storage.</summary>
        public string? StorageName { get; } = storageName;
    }
}
