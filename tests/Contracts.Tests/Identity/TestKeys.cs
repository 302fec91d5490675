namespace Federation.Contracts.Tests.Identity;

/// <summary>Keys made by OpenSSL for these tests; they open nothing.</summary>
internal static class TestKeys
{
    public const string Pkcs8 = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4JrYQ58fNjN7YW69
        NPIc42Lk6uHpzDeZSTXyOGJ3YTmhRANCAATyKTEpdTDYrmjR88kVIwDlaYzynzjL
        cRYXpIsML6E5lnVpulmXBjj5Jahfsve7f+faZNzyFAtTW+vHFWsftQFF
        -----END PRIVATE KEY-----
        """;

    public const string Sec1 = """
        -----BEGIN EC PRIVATE KEY-----
        MHcCAQEEIOCa2EOfHzYze2FuvTTyHONi5Orh6cw3mUk18jhid2E5oAoGCCqGSM49
        AwEHoUQDQgAE8ikxKXUw2K5o0fPJFSMA5WmM8p84y3EWF6SLDC+hOZZ1abpZlwY4
        +SWoX7L3u3/n2mTc8hQLU1vrxxVrH7UBRQ==
        -----END EC PRIVATE KEY-----
        """;

    public const string PublicPem = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8ikxKXUw2K5o0fPJFSMA5WmM8p84
        y3EWF6SLDC+hOZZ1abpZlwY4+SWoX7L3u3/n2mTc8hQLU1vrxxVrH7UBRQ==
        -----END PUBLIC KEY-----
        """;

    public const string EncryptedPkcs8 = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhlTaH49OkUkAICCAAw
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEMisbKcxONb2Q8kWFjawScsEgZCs
        -----END ENCRYPTED PRIVATE KEY-----
        """;

    public const string P384 = """
        -----BEGIN PRIVATE KEY-----
        MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCshO+7QBEdoM/6YsU7
        lXywnukfMJmrVxzyOWN91qgTPSV/VMqgkM5SWIwTutla/pehZANiAAR6YAxRv+AL
        Pu04j5tqE9z0ZtRIapyLq1WvnVaB8Mrs2sl/kwLXODBLLZg9t0r398Gz+ifO3CUc
        q95ZWTdgucyCv2Q+L2jTxV8j7tkaKqZbyslQjVaVn+7VDa0Kqgycmdw=
        -----END PRIVATE KEY-----
        """;

    public const string Secp256k1 = """
        -----BEGIN PRIVATE KEY-----
        MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgqN/MsOigkQIZBE5MtXuv
        7Dl9F9cDDOE6xSbJ65NCRLehRANCAAQNtnez3dEyCSz/7eBoyl1LXT0ojbRBAT7p
        7/FwiJOeaF0SYj+vJW6jTfKpq04xYeYZPGjWooWFolciJXI5cSd/
        -----END PRIVATE KEY-----
        """;

    /// <summary>The public half of <see cref="Pkcs8"/> in the one encoding that counts.</summary>
    public const string PublicHex =
        "3059301306072a8648ce3d020106082a8648ce3d03010703420004f22931297530d8ae68d1f3c9152300e5698cf29f38cb711617a48b0c2fa13996"
        + "7569ba59970638f925a85fb2f7bb7fe7da64dcf2140b535bebc7156b1fb50145";

    /// <summary>The same key, its point compressed.</summary>
    public const string CompressedHex = "3039301306072a8648ce3d020106082a8648ce3d03010703220003f22931297530d8ae68d1f3c9152300e5698cf29f38cb711617a48b0c2fa13996";

    /// <summary>The same key, its point in the hybrid form.</summary>
    public const string HybridHex =
        "3059301306072a8648ce3d020106082a8648ce3d03010703420007f22931297530d8ae68d1f3c9152300e5698cf29f38cb711617a48b0c2fa13996"
        + "7569ba59970638f925a85fb2f7bb7fe7da64dcf2140b535bebc7156b1fb50145";

    /// <summary>The same key, its curve spelled out instead of named.</summary>
    public const string ExplicitCurveHex =
        "3082014b3082010306072a8648ce3d02013081f7020101302c06072a8648ce3d0101022100ffffffff00000001000000000000000000000000ffffffffffffffffffffffff305b"
        + "0420ffffffff00000001000000000000000000000000fffffffffffffffffffffffc04205ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"
        + "031500c49d360886e704936a6678e1139d26b7819f7e900441046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        + "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
        + "02010103420004f22931297530d8ae68d1f3c9152300e5698cf29f38cb711617a48b0c2fa139967569ba59970638f925a85fb2f7bb7fe7da64dcf2140b535bebc7156b1fb50145";

    public const string P384PublicHex =
        "3076301006072a8648ce3d020106052b8104002203620004377b57f8f4db255ca8e4fd1e74e82d13a717e05a05a42e9834db262279c7e8a360960f4d30719728c738e5e0345448e0"
        + "7040139240fcce4a3af6bd4867d3db0024a360bd2071c6ef6f4e65fb0784cf8a44effeb59a558ce22962b7f6b3b66750";

    public const string Secp256k1PublicHex =
        "3056301006072a8648ce3d020106052b8104000a034200040d640a5bb7d8c8b407c843d2eb809bb020bedb6a7389e2caa56aa3803c45ee2e"
        + "71e0bff8f0ff2114c7d577e8f8204e5d116c2484cfcadeb2171a62c90664d182";

    public const string BrainpoolPublicHex =
        "305a301406072a8648ce3d020106092b24030302080101070342000479bc92cc7c3a0e6037927f9e2f0014704fafc5027a565793962ac2cc80e02ac6"
        + "a86147c838155e37333dd88a92a93c8e1c1b008d9c540670c08fdf36cd7c9ba7";

    public const string Ed25519PublicHex = "302a300506032b6570032100a0f210521a70f464e5c32cd10b89152a6048ef1a4ac686616eb170c567764ddf";
}
