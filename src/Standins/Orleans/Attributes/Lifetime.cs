// SPDX-License-Identifier: Apache-2.0
namespace Orleans
{
    /// <summary>Activations of the class are not collected for being idle.</summary>
    [AttributeUsage(AttributeTargets.Class)]
    public sealed class KeepAliveAttribute : Attribute;

    /// <summary>How long activations of the class may be idle before they are collected.</summary>
    [AttributeUsage(AttributeTargets.Class)]
    public sealed class CollectionAgeLimitAttribute : Attribute
    {
        private readonly TimeSpan? _inactivityPeriod;

        /// <summary>The limit is given by the properties.</summary>
        public CollectionAgeLimitAttribute()
        {
        }

        /// <summary>The limit as text, for example <c>00:05:00</c>.</summary>
        public CollectionAgeLimitAttribute(string inactivityPeriod) =>
            _inactivityPeriod = TimeSpan.Parse(inactivityPeriod, System.Globalization.CultureInfo.InvariantCulture);

        /// <summary>Never collected.</summary>
        public bool AlwaysActive { get; set; }

        /// <summary>Days of the limit.</summary>
        public double Days { get; set; }

        /// <summary>Hours of the limit.</summary>
        public double Hours { get; set; }

        /// <summary>Minutes of the limit.</summary>
        public double Minutes { get; set; }

        /// <summary>The limit.</summary>
        public TimeSpan AgeLimit => AlwaysActive
            ? TimeSpan.MaxValue
            : _inactivityPeriod ?? TimeSpan.FromDays(Days) + TimeSpan.FromHours(Hours) + TimeSpan.FromMinutes(Minutes);
    }

    /// <summary>The grain type's name, instead of the class's name without <c>Grain</c>.</summary>
    /// <param name="grainType">The name.</param>
    [AttributeUsage(AttributeTargets.Class, AllowMultiple = false)]
    public sealed class GrainTypeAttribute(string grainType) : Attribute
    {
        internal string GrainType { get; } = grainType;
    }
}

namespace Orleans.Providers
{
    /// <summary>Names of providers.</summary>
    public static class ProviderConstants
    {
        /// <summary>The storage used where none is named.</summary>
        public const string DEFAULT_STORAGE_PROVIDER_NAME = "Default";
    }

    /// <summary>Which storage <c>Grain&lt;TState&gt;</c> uses.</summary>
    [AttributeUsage(AttributeTargets.Class)]
    public sealed class StorageProviderAttribute : Attribute
    {
        /// <summary>The storage's name.</summary>
        public string ProviderName { get; set; } = ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME;
    }
}

namespace Orleans.CodeGeneration
{
    /// <summary>How a request is treated.</summary>
    [Flags]
    public enum InvokeMethodOptions
    {
        /// <summary>One at a time, answered.</summary>
        None = 0,

        /// <summary>Not answered.</summary>
        OneWay = 1,

        /// <summary>Interleaves with others of its kind.</summary>
        ReadOnly = 2,

        /// <summary>Interleaves with everything.</summary>
        AlwaysInterleave = 4,

        /// <summary>Order does not matter.</summary>
        Unordered = 8,
    }
}
