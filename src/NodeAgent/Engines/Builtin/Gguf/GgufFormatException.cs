namespace Federation.NodeAgent.Engines.Builtin.Gguf;

/// <summary>A file is not a GGUF model this engine can run. The message says where and what, for a person who knows the file.</summary>
public sealed class GgufFormatException(string message, Exception? innerException = null) : Exception(message, innerException);
