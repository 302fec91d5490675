using System.Globalization;
using System.Text;
using Federation.Silo.Gateway;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;

namespace Federation.Silo.Files;

/// <summary>Takes a file from a multipart form as it comes, whatever the order of the fields: it is on disk before it is known what it is for.</summary>
internal sealed class FileUpload(FileStore store, IOptions<ClientFileOptions> options, TimeProvider time)
{
    private const int FieldBytesMax = 1024;
    private const int FieldsMax = 16;
    private const int FilenameMax = 255;

    /// <summary>What a form has beside its file, bytes.</summary>
    private const int FormOverheadBytes = 64 * 1024;
    private const long LifetimeMinSeconds = 3600;

    /// <summary>The file, or what is wrong with the upload.</summary>
    public async Task<(ClientFile? File, OpenAiError? Problem)> TakeAsync(HttpContext http)
    {
        var maxBytes = options.Value.MaxBytes;
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } serverLimit) serverLimit.MaxRequestBodySize = null;
        if (http.Request.ContentLength > maxBytes + FormOverheadBytes) return (null, OpenAiError.BodyTooLarge(maxBytes));
        if (!MediaTypeHeaderValue.TryParse(http.Request.ContentType, out var type) || type.MediaType != "multipart/form-data" || HeaderUtilities.RemoveQuotes(type.Boundary) is not { Length: > 0 and <= 200 } boundary)
            return (null, OpenAiError.BadRequest("Send the file as 'multipart/form-data', with the fields 'purpose' and 'file'."));
        using var tooLate = new CancellationTokenSource(options.Value.UploadTimeout, time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, tooLate.Token);
        var form = new Form();
        try
        {
            var problem = await ReadAsync(http, new MultipartReader(boundary.ToString(), http.Request.Body) { HeadersCountLimit = 16, HeadersLengthLimit = 8 * 1024 }, form, limit.Token);
            return problem is null ? await FinishAsync(form, http.RequestAborted) : (null, problem);
        }
        catch (Exception exception) when (exception is InvalidDataException or IOException && !http.RequestAborted.IsCancellationRequested)
        {
            return (null, OpenAiError.BadRequest("The form is malformed: it ends in the middle, or its parts are not what 'multipart/form-data' says."));
        }
        catch (OperationCanceledException) when (tooLate.IsCancellationRequested)
        {
            return (null, new OpenAiError(408, "invalid_request_error", "upload_too_slow", $"The upload took longer than {options.Value.UploadTimeout}."));
        }
        finally
        {
            if (form.File is not null) await form.File.DisposeAsync();
        }
    }

    private async Task<OpenAiError?> ReadAsync(HttpContext http, MultipartReader reader, Form form, CancellationToken cancellationToken)
    {
        for (var fields = 0; await reader.ReadNextSectionAsync(cancellationToken) is { } section; fields++)
        {
            if (fields == FieldsMax) return OpenAiError.BadRequest($"The form has more than {FieldsMax} fields.");
            if (section.GetContentDispositionHeader() is not { } disposition) return OpenAiError.BadRequest("A part of the form has no name.");
            var name = HeaderUtilities.RemoveQuotes(disposition.Name).ToString();
            if (name == "file")
            {
                if (form.File is not null) return OpenAiError.BadRequest("One file at a time.", "file");
                form.Filename = CleanName(disposition);
                if (await TakeFileAsync(http, section.Body, form, cancellationToken) is { } problem) return problem;
            }
            else
            {
                var (value, problem) = await ReadFieldAsync(section.Body, name, cancellationToken);
                if (problem is not null) return problem;
                if (!form.Fields.TryAdd(name, value!)) return OpenAiError.BadRequest($"The field '{name}' is there twice.", name);
            }
        }
        return null;
    }

    private async Task<OpenAiError?> TakeFileAsync(HttpContext http, Stream body, Form form, CancellationToken cancellationToken)
    {
        var accountId = http.Caller().AccountId;
        form.File = await store.BeginAsync(accountId, isBounded: true, cancellationToken);
        if (form.File is not { } file) return OpenAiError.BadRequest($"The account has {options.Value.MaxAccountFiles} files already. Delete some.", "file", "too_many_files");
        var buffer = new byte[64 * 1024];
        while (await body.ReadAsync(buffer, cancellationToken) is > 0 and var count)
        {
            if (file.Length + count > options.Value.MaxBytes) return OpenAiError.BodyTooLarge(options.Value.MaxBytes);
            if (!await file.WriteAsync(buffer.AsMemory(0, count), cancellationToken)) return NoRoom();
        }
        return await file.FlushAsync(cancellationToken) ? null : NoRoom();
    }

    private async Task<(ClientFile?, OpenAiError?)> FinishAsync(Form form, CancellationToken cancellationToken)
    {
        if (form.File is not { } file) return (null, OpenAiError.BadRequest("The form has no field 'file'.", "file", "missing_required_parameter"));
        if (!form.Fields.TryGetValue("purpose", out var purpose)) return (null, OpenAiError.BadRequest("The form has no field 'purpose'.", "purpose", "missing_required_parameter"));
        if (purpose != FilePurposes.Batch) return (null, OpenAiError.BadRequest("'purpose' must be 'batch': other files have no use here.", "purpose", "invalid_value"));
        if (file.Length == 0) return (null, OpenAiError.BadRequest("The file is empty.", "file", "empty_file"));
        var (lifetime, problem) = LifetimeOf(form);
        return problem is null ? (await file.FinishAsync(purpose, form.Filename, lifetime, cancellationToken), null) : (null, problem);
    }

    private (TimeSpan?, OpenAiError?) LifetimeOf(Form form)
    {
        if (!form.Fields.TryGetValue("expires_after[seconds]", out var text)) return (null, null);
        var most = (long)options.Value.Retention.TotalSeconds;
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) && seconds >= LifetimeMinSeconds && seconds <= most
            ? (TimeSpan.FromSeconds(seconds), null)
            : (null, OpenAiError.BadRequest($"'expires_after[seconds]' must be {LifetimeMinSeconds} to {most}.", "expires_after"));
    }

    private static async Task<(string? Value, OpenAiError? Problem)> ReadFieldAsync(Stream body, string name, CancellationToken cancellationToken)
    {
        var buffer = new byte[FieldBytesMax + 1];
        var length = await body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken);
        return length <= FieldBytesMax ? (Encoding.UTF8.GetString(buffer, 0, length), null) : (null, OpenAiError.BadRequest($"The field '{(name.Length <= 64 ? name : name[..64])}' is longer than {FieldBytesMax} bytes.", "purpose"));
    }

    /// <summary>A name to show, whatever was sent: of a path its end, of control characters none.</summary>
    private static string CleanName(ContentDispositionHeaderValue disposition)
    {
        var sent = HeaderUtilities.RemoveQuotes(disposition.FileNameStar.HasValue ? disposition.FileNameStar : disposition.FileName).ToString();
        var end = sent[(sent.LastIndexOfAny(['/', '\\']) + 1)..];
        var clean = new string([.. end.Where(character => !char.IsControl(character) && !char.IsSurrogate(character))]);
        return clean.Length switch { 0 => "file.jsonl", <= FilenameMax => clean, _ => clean[..FilenameMax] };
    }

    private OpenAiError NoRoom() => OpenAiError.BadRequest($"The account's files have {options.Value.MaxAccountBytes} bytes together, which is as much as they may. Delete some.", "file", "storage_full");

    private sealed class Form
    {
        public Dictionary<string, string> Fields { get; } = new(StringComparer.Ordinal);

        public string Filename { get; set; } = string.Empty;

        public FileWriter? File { get; set; }
    }
}
