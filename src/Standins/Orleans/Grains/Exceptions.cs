// SPDX-License-Identifier: Apache-2.0
namespace Orleans.Runtime
{
    /// <summary>Base of what the engine throws.</summary>
    [GenerateSerializer]
    public class OrleansException : Exception
    {
        /// <summary>An unexplained failure.</summary>
        public OrleansException()
            : base("Unexpected error.")
        {
        }

        /// <summary>A failure.</summary>
        public OrleansException(string message)
            : base(message)
        {
        }

        /// <summary>A failure and its cause.</summary>
        public OrleansException(string message, Exception? innerException)
            : base(message, innerException)
        {
        }
    }

    /// <summary>The call was not delivered.</summary>
    [GenerateSerializer]
    public class OrleansMessageRejectionException : OrleansException
    {
        internal OrleansMessageRejectionException(string message)
            : base(message)
        {
        }

        internal OrleansMessageRejectionException(string message, Exception? innerException)
            : base(message, innerException)
        {
        }
    }

    /// <summary>The silo is not there, or no longer.</summary>
    [GenerateSerializer]
    public sealed class SiloUnavailableException : OrleansMessageRejectionException
    {
        /// <summary>A silo is not there.</summary>
        public SiloUnavailableException()
            : base("SiloUnavailableException")
        {
        }

        /// <summary>A silo is not there.</summary>
        public SiloUnavailableException(string msg)
            : base(msg)
        {
        }

        /// <summary>A silo is not there, and why.</summary>
        public SiloUnavailableException(string message, Exception? innerException)
            : base(message, innerException)
        {
        }
    }

    /// <summary>A queue is full.</summary>
    [GenerateSerializer]
    public sealed class LimitExceededException : OrleansException
    {
        /// <summary>Some limit was exceeded.</summary>
        public LimitExceededException()
            : base("Limit exceeded")
        {
        }

        /// <summary>A limit was exceeded.</summary>
        public LimitExceededException(string message)
            : base(message)
        {
        }

        /// <summary>A limit was exceeded, and why.</summary>
        public LimitExceededException(string message, Exception? innerException)
            : base(message, innerException)
        {
        }

        /// <summary>The named limit was exceeded.</summary>
        public LimitExceededException(string limitName, int current, int threshold, object extraInfo)
            : base($"Limit exceeded {limitName} Current={current} Threshold={threshold} {extraInfo}")
        {
        }
    }

    /// <summary>The set-up is wrong; the silo does not start.</summary>
    [GenerateSerializer]
    public sealed class OrleansConfigurationException : Exception
    {
        /// <summary>A wrong set-up.</summary>
        public OrleansConfigurationException(string message)
            : base(message)
        {
        }

        /// <summary>A wrong set-up, and how it was found.</summary>
        public OrleansConfigurationException(string message, Exception innerException)
            : base(message, innerException)
        {
        }
    }

    /// <summary>The grain that was being enumerated is gone, or forgot the enumeration because nobody asked on.</summary>
    [GenerateSerializer]
    public sealed class EnumerationAbortedException : Exception
    {
        /// <summary>An enumeration ended early.</summary>
        public EnumerationAbortedException()
        {
        }

        /// <summary>An enumeration ended early.</summary>
        public EnumerationAbortedException(string message)
            : base(message)
        {
        }

        /// <summary>An enumeration ended early, and why.</summary>
        public EnumerationAbortedException(string message, Exception? innerException)
            : base(message, innerException)
        {
        }
    }
}

namespace Orleans.Serialization
{
    /// <summary>A value cannot travel.</summary>
    [GenerateSerializer]
    public class SerializerException : Exception
    {
        /// <summary>A value cannot travel.</summary>
        public SerializerException(string message)
            : base(message)
        {
        }
    }

    /// <summary>The type has no serialiser: it lacks <see cref="GenerateSerializerAttribute"/>.</summary>
    [GenerateSerializer]
    public sealed class CodecNotFoundException : SerializerException
    {
        /// <summary>A type without a serialiser.</summary>
        public CodecNotFoundException(string message)
            : base(message)
        {
        }
    }
}
