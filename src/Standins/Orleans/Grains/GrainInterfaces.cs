// SPDX-License-Identifier: Apache-2.0
using Orleans.Runtime;

namespace Orleans.Runtime
{
    /// <summary>Anything that can be called through a reference: grains and observers.</summary>
    public interface IAddressable;
}

namespace Orleans
{
    /// <summary>Base of grain interfaces.</summary>
    public interface IGrain : IAddressable;

    /// <summary>A grain whose key is a GUID.</summary>
    public interface IGrainWithGuidKey : IGrain;

    /// <summary>A grain whose key is an integer.</summary>
    public interface IGrainWithIntegerKey : IGrain;

    /// <summary>A grain whose key is a string.</summary>
    public interface IGrainWithStringKey : IGrain;

    /// <summary>A grain whose key is a GUID and a string.</summary>
    public interface IGrainWithGuidCompoundKey : IGrain;

    /// <summary>A grain whose key is an integer and a string.</summary>
    public interface IGrainWithIntegerCompoundKey : IGrain;

    /// <summary>Base of the interfaces through which a grain calls back an object that is no grain.</summary>
    public interface IGrainObserver : IAddressable;
}
