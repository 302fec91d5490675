namespace Federation.NodeAgent.Service;

/// <summary>The files that service managers read: public, and replaced in one step.</summary>
internal static class ServiceFile
{
    public static void Write(string path, string text)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            string temporary = path + ".tmp";
            File.WriteAllText(temporary, text);
            File.Move(temporary, path, overwrite: true);
        }
        catch (UnauthorizedAccessException)
        {
            throw new ServiceException($"This user may not write {path}. Install the service as administrator, or for yourself only.");
        }
        catch (IOException exception)
        {
            throw new ServiceException($"{path} could not be written: {exception.Message}");
        }
    }

    public static void Delete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (DirectoryNotFoundException)
        {
            return; // gone with its directory
        }
        catch (Exception exception) when (exception is UnauthorizedAccessException or IOException)
        {
            throw new ServiceException($"{path} could not be removed: {exception.Message}");
        }
    }
}
