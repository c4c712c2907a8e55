//! Passwords are in no error and in no text.

use super::*;

#[test]
fn variables_fill_strings_and_their_values_are_never_shown() {
    let text = "[streams.gate]\nurl = \"rtsp://host/\"\nusername = \"u\"\npassword = \"${PW}\"\n";
    let config = read_with(text, &[("PW", "hunter2")]).unwrap();
    assert_eq!(stream(&config, "gate").password.as_deref(), Some("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(
        error(text),
        "etc/millrace.toml:4:12: key \"streams.gate.password\": ${PW}: environment variable PW is not set"
    );
    let wrong = read_with("backend = \"${PW}\"\n", &[("PW", "hunter2")]).unwrap_err().to_string();
    assert_eq!(
        wrong,
        "etc/millrace.toml:1:11: key \"backend\": found the value of ${PW}, \
         wanted \"embedded\" or \"aws\""
    );
}

#[test]
fn a_password_is_in_no_error_and_no_debug_text() {
    for text in [
        "[streams.gate]\nurl = \"http://admin:hunter2@host/\"\n",
        "[streams.gate]\nurl = \"rtsp://host/\"\nusername = \"u\"\npassword = [\"hunter2\"]\n",
        "[streams.gate]\nurl = { hunter2 = 1 }\n",
    ] {
        let error = read(text).unwrap_err();
        assert!(
            !error.to_string().contains("hunter2\"") && !error.to_string().contains("hunter2@"),
            "{error}"
        );
    }
    let config = read(GATE).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(stream(&config, "gate").shown_url(), "rtsp://***@10.0.0.5/main");
    let mut mistaken = stream(&config, "gate").clone();
    for (url, shown) in [
        ("rtsp://viewer:pa/ss@10.0.0.5/main", "rtsp://***@10.0.0.5/main"),
        ("rtsp://viewer:pa/s?s@10.0.0.5/main", "rtsp://***"),
        ("rtsp://10.0.0.5/main?password=p@ss", "rtsp://***"),
        ("RTSP://viewer:pass@10.0.0.5/main?token=pass", "RTSP://***@10.0.0.5/main?***"),
        (
            "rtsp://10.0.0.9/user=me_password=pass_1/live",
            "rtsp://10.0.0.9/user=me_password=***/live",
        ),
        ("viewer:pass@rtsp://10.0.0.5/main", "***"),
        ("viewer:pass@10.0.0.5/main", "***"),
        ("scene:?seed=2", "scene:?seed=2"),
        ("file:clips/a@b.mp4", "file:clips/a@b.mp4"),
    ] {
        mistaken.url = url.to_owned();
        assert_eq!(mistaken.shown_url(), shown);
    }
}

#[test]
fn a_password_in_a_mistyped_url_is_not_shown() {
    for url in [
        "admin:s3cret@10.0.0.5/stream",
        "rtsp:/admin:s3cret@10.0.0.5/s",
        "rtsp//admin:s3cret@h/p",
        "rtmps://10.0.0.5/s?token=s3cret",
        "RTSP://10.0.0.5/s?password=s3cret",
        "http://10.0.0.5/s?pwd=s3cret",
        "s3cret@rtsp://h",
    ] {
        let quoted = format!("{url:?}");
        let in_file = format!("[streams.g]\nurl = {quoted}\n");
        let filled = "[streams.g]\nurl = \"${CAM}\"\n";
        let mut flags = Overrides::default();
        flags.set("URL", &["streams", "probed", "url"], url);
        let config = read("[streams.g]\nurl = \"scene:\"\n").unwrap();
        let made = Config {
            streams: config
                .streams
                .into_iter()
                .map(|(id, stream)| (id, StreamConfig { url: url.to_owned(), ..stream }))
                .collect(),
            ..read("").unwrap()
        };
        for error in [
            read(&in_file),
            read_with(filled, &[("CAM", url)]),
            read_with("", &[("MILLRACE_STREAMS__G__URL", url)]),
            parse(None, &BTreeMap::new(), &flags),
            made.check().map(|()| made),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(!error.contains("s3cret") && error.contains("wanted rtsp://HOST"), "{error}");
        }
    }
}

#[test]
fn a_password_that_a_url_cannot_hold_is_refused_rather_than_torn() {
    for url in [
        "rtsp://u:p@ss/w?rd#1@10.0.0.5/x",
        "rtsp://u:s3#cret@10.0.0.5/x",
        "rtsp://u:2024/cret@10.0.0.5/x",
        "rtsp://u:2024#cret@10.0.0.5/x",
        "rtsp://camera:554/a@cret",
    ] {
        let error = error(&format!("[streams.g]\nurl = \"{url}\"\n"));
        assert!(error.contains("write them as %2F, %3F and %23"), "{error}");
        let shown = ["ss/w", "cret", "2024"].into_iter().find(|part| error.contains(part));
        assert_eq!(shown, None, "{error}");
    }
    for url in [
        "rtsp://u:p@ss@10.0.0.5/x",
        "rtsp://10.0.0.5/user=a@b",
        "rtsp://10.0.0.5:554/x?u=a@b",
        "rtsp://[::1]:554/a@b",
        "rtsp://camera:554/a%40b",
    ] {
        assert!(read(&format!("[streams.g]\nurl = \"{url}\"\n")).is_ok(), "{url}");
    }
}

#[test]
fn an_address_of_another_kind_is_named_by_its_scheme_alone() {
    for (url, words) in [
        ("http://u:s3cret@h/x", "begins with \"http:\", wanted rtsp://HOST"),
        ("rtmps://u:s3cret@h/x", "begins with \"rtmps:\", wanted"),
        ("rtsps://u:s3cret@/x", "names no host, wanted"),
        ("rtsp://u:s3cret@/x", "names no host, wanted"),
        ("clip.mp4", "is no URL, wanted"),
        ("u:s3cret@h/x", "is no URL, wanted"),
    ] {
        let error = error(&format!("[streams.g]\nurl = \"{url}\"\n"));
        assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
    }
}

#[test]
fn a_camera_in_tls_is_trusted_by_one_key_and_speaks_tcp() {
    let pin = format!("certificate_sha256 = \"{}\"", "3F:".repeat(31) + "3f");
    let text = |url: &str, keys: &str| format!("[streams.g]\nurl = \"{url}\"\n{keys}\n");
    for keys in ["", "ca = \"ca.pem\"", &pin] {
        let config = read(&text("rtsps://me:pw@h/x", keys)).unwrap();
        let stream = stream(&config, "g");
        assert!(stream.is_live() && stream.is_secure());
        assert_eq!(stream.shown_url(), "rtsps://***@h/x");
    }
    let both = format!("ca = \"ca.pem\"\n{pin}");
    for (url, keys, words) in [
        (
            "rtsps://h/x",
            &*both,
            "\"streams.g.ca\": certificate_sha256 names the certificate itself",
        ),
        ("rtsps://h/x", "transport = \"udp\"", "\"streams.g.transport\": \"udp\" is not encrypted"),
        ("rtsp://h/x", &pin, "\"streams.g.certificate_sha256\": is for rtsps:// alone"),
        ("file:x.mp4", "ca = \"ca.pem\"", "\"streams.g.ca\": is for rtsps:// alone"),
        ("rtsps://h/x", "certificate_sha256 = \"3f\"", "wanted 64 hexadecimal digits, with or"),
        ("rtsp://h/x", "max_rate = 1000", "wanted 1048576 to 1073741824"),
    ] {
        let error = error(&text(url, keys));
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_password_in_the_wrong_place_is_not_shown() {
    let url = "rtsp://u:s3cret@h/s";
    for error in [
        read(&format!("[streams]\ngate = \"{url}\"\n")),
        read("[streams]\ngate = [\"admin:s3cret@h\"]\n"),
        read(&format!("streams = \"{url}\"\n")),
        read(&format!("[streams.g]\nurl = {url}\n")),
        read("[streams.g]\nurl = \"rtsp://h\"\npassword = 1234567890123456789012\n"),
        read_with("", &[("MILLRACE_STREAMS__G", url)]),
        read_with("", &[("MILLRACE_STREAMS", url)]),
        read("[telemetry]\notlp = \"https://api:s3cret@otlp.vendor.io\"\n"),
        read_with("[infer]\nwait = \"${PW}\"\n", &[("PW", "20121122s")]),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(!error.contains("s3cret") && !error.contains("2012"), "{error}");
    }
    assert_eq!(
        error(&format!("[streams]\ngate = \"{url}\"\n")),
        "etc/millrace.toml:2:8: key \"streams.gate\": found a value that is not shown, wanted a table"
    );
}

#[test]
fn the_data_folder_is_known_without_the_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millrace.toml");
    let text = "data = \"d\"\n[streams.gate]\nurl = \"rtsp://h/\"\npassword = \"${UNSET}\"\n";
    std::fs::write(&file, text).unwrap();
    let mut flags = Overrides::default();
    assert_eq!(load_place(Some(&file), &flags).unwrap().data, folder.path().join("d"));
    flags.set("--data", &["data"], "elsewhere");
    assert_eq!(load_place(Some(&file), &flags).unwrap().data, Path::new("elsewhere"));
}

#[test]
fn what_is_not_of_a_stream_is_known_without_the_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millrace.toml");
    let text = "[streams.gate]\nurl = \"rtsp://h/\"\npassword = \"${UNSET}\"\n\
                [models.m]\nalgorithm = \"circles\"\n[infer]\nwait = \"3s\"\n\
                [aws]\nfifo = [\"m\"]\n";
    let load_text = |text: &str| {
        std::fs::write(&file, text).unwrap();
        load_without_streams(Some(&file), &Overrides::default())
    };
    let config = load_text(&format!("{text}[telemetry]\nlisten = \"[::1]:9\"\n")).unwrap();
    assert_eq!(config.infer.wait.duration(), Duration::from_secs(3));
    assert_eq!((config.models.len(), config.aws.fifo.len(), config.streams.len()), (1, 1, 0));
    assert_eq!(config.telemetry.listen.as_deref(), Some("[::1]:9"));
    for (wrong, part) in [
        ("[queue]\nmax_receives = 0\n", "found 0, wanted 1 to 1000"),
        ("[telemetry]\notlp = \"otel\"\n", "wanted http://HOST:PORT"),
        ("[infr]\nwait = \"1s\"\n", "did you mean \"infer\"?"),
        ("[models.n]\n", "needs \"path\""),
    ] {
        let error = load_text(&format!("{text}{wrong}")).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
