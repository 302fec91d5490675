// SPDX-License-Identifier: Apache-2.0

namespace Orleans
{
    /// <summary>Starts and stops something at a stage of a lifecycle.</summary>
    public interface ILifecycleObserver
    {
        /// <summary>Starts. A failure stops the whole start.</summary>
        Task OnStart(CancellationToken cancellationToken = default);

        /// <summary>Stops.</summary>
        Task OnStop(CancellationToken cancellationToken = default);
    }

    /// <summary>Something that starts and stops in stages: ascending, then descending.</summary>
    public interface ILifecycleObservable
    {
        /// <summary>Adds an observer at a stage; stages of equal number start together.</summary>
        /// <returns>Disposing it takes the observer out.</returns>
        IDisposable Subscribe(string observerName, int stage, ILifecycleObserver observer);
    }

    /// <summary>Something that adds itself to a lifecycle.</summary>
    /// <typeparam name="TLifecycleObservable">The kind of lifecycle.</typeparam>
    public interface ILifecycleParticipant<TLifecycleObservable>
        where TLifecycleObservable : ILifecycleObservable
    {
        /// <summary>Adds its observers.</summary>
        void Participate(TLifecycleObservable lifecycle);
    }

    /// <summary>Shorter ways to observe a lifecycle.</summary>
    public static class LifecycleExtensions
    {
        /// <summary>Adds functions at a stage.</summary>
        public static IDisposable Subscribe(this ILifecycleObservable observable, string observerName, int stage, Func<CancellationToken, Task> onStart, Func<CancellationToken, Task>? onStop)
        {
            ArgumentNullException.ThrowIfNull(observable);
            ArgumentNullException.ThrowIfNull(onStart);
            return observable.Subscribe(observerName, stage, new Functions(onStart, onStop));
        }

        /// <summary>Adds a function at a stage.</summary>
        public static IDisposable Subscribe(this ILifecycleObservable observable, string observerName, int stage, Func<CancellationToken, Task> onStart) =>
            observable.Subscribe(observerName, stage, onStart, null);

        /// <summary>Adds functions at a stage under the name of <typeparamref name="TObserver"/>.</summary>
        public static IDisposable Subscribe<TObserver>(this ILifecycleObservable observable, int stage, Func<CancellationToken, Task> onStart, Func<CancellationToken, Task> onStop) =>
            observable.Subscribe(typeof(TObserver).FullName!, stage, onStart, onStop);

        /// <summary>Adds a function at a stage under the name of <typeparamref name="TObserver"/>.</summary>
        public static IDisposable Subscribe<TObserver>(this ILifecycleObservable observable, int stage, Func<CancellationToken, Task> onStart) =>
            observable.Subscribe(typeof(TObserver).FullName!, stage, onStart, null);

        private sealed class Functions(Func<CancellationToken, Task> onStart, Func<CancellationToken, Task>? onStop) : ILifecycleObserver
        {
            public Task OnStart(CancellationToken cancellationToken = default) => onStart(cancellationToken);

            public Task OnStop(CancellationToken cancellationToken = default) => onStop?.Invoke(cancellationToken) ?? Task.CompletedTask;
        }
    }

    /// <summary>The stages of a silo.</summary>
    public static class ServiceLifecycleStage
    {
        /// <summary>Before all others.</summary>
        public const int First = int.MinValue;

        /// <summary>The engine is set up.</summary>
        public const int RuntimeInitialize = 2000;

        /// <summary>The engine's services start.</summary>
        public const int RuntimeServices = 4000;

        /// <summary>Storage starts.</summary>
        public const int RuntimeStorageServices = 6000;

        /// <summary>The engine's own grains start.</summary>
        public const int RuntimeGrainServices = 8000;

        /// <summary>After the engine's own grains.</summary>
        public const int AfterRuntimeGrainServices = 8100;

        /// <summary>The application's services start.</summary>
        public const int ApplicationServices = 10000;

        /// <summary>The silo joins.</summary>
        public const int BecomeActive = Active - 1;

        /// <summary>The silo serves calls.</summary>
        public const int Active = 20000;

        /// <summary>After all others.</summary>
        public const int Last = int.MaxValue;
    }
}

namespace Orleans.Runtime
{
    /// <summary>What starts and stops with an activation.</summary>
    public interface IGrainLifecycle : ILifecycleObservable;

    /// <summary>What starts and stops with the silo.</summary>
    public interface ISiloLifecycle : ILifecycleObservable
    {
        /// <summary>The last stage that has started.</summary>
        int HighestCompletedStage { get; }

        /// <summary>The last stage that has stopped.</summary>
        int LowestStoppedStage { get; }
    }

    /// <summary>The stages of an activation.</summary>
    public static class GrainLifecycleStage
    {
        /// <summary>Before all others.</summary>
        public const int First = int.MinValue;

        /// <summary>State is read.</summary>
        public const int SetupState = 1000;

        /// <summary>The grain activates.</summary>
        public const int Activate = SetupState + 1000;

        /// <summary>After all others.</summary>
        public const int Last = int.MaxValue;
    }
}
