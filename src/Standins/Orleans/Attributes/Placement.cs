// SPDX-License-Identifier: Apache-2.0
using Orleans.Runtime;

namespace Orleans.Runtime
{
    /// <summary>Which silo a new activation goes to. With one silo, always this one.</summary>
    public abstract class PlacementStrategy;

    internal sealed class SingleSiloPlacement : PlacementStrategy;

    internal sealed class StatelessWorkerPlacement : PlacementStrategy;
}

namespace Orleans.Placement
{
    /// <summary>Base of the attributes that choose a silo. With one silo they choose nothing.</summary>
    [AttributeUsage(AttributeTargets.Class, AllowMultiple = false)]
    public abstract class PlacementAttribute : Attribute
    {
        /// <summary>An attribute for the given strategy.</summary>
        protected PlacementAttribute(PlacementStrategy placement) => PlacementStrategy = placement;

        /// <summary>The strategy.</summary>
        public PlacementStrategy PlacementStrategy { get; }
    }

    /// <summary>On the silo that calls first.</summary>
    [AttributeUsage(AttributeTargets.Class, AllowMultiple = false)]
    public sealed class PreferLocalPlacementAttribute() : PlacementAttribute(new SingleSiloPlacement());

    /// <summary>On any silo.</summary>
    [AttributeUsage(AttributeTargets.Class, AllowMultiple = false)]
    public sealed class RandomPlacementAttribute() : PlacementAttribute(new SingleSiloPlacement());

    /// <summary>On the silo that the id's hash falls on.</summary>
    [AttributeUsage(AttributeTargets.Class, AllowMultiple = false)]
    public sealed class HashBasedPlacementAttribute() : PlacementAttribute(new SingleSiloPlacement());

    /// <summary>On the less busy of two silos drawn at random.</summary>
    [AttributeUsage(AttributeTargets.Class, AllowMultiple = false)]
    public sealed class ActivationCountBasedPlacementAttribute() : PlacementAttribute(new SingleSiloPlacement());

    /// <summary>On the silo with most resources to spare.</summary>
    [AttributeUsage(AttributeTargets.Class, AllowMultiple = false)]
    public sealed class ResourceOptimizedPlacementAttribute() : PlacementAttribute(new SingleSiloPlacement());
}
