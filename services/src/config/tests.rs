//! The configuration as a user meets it: what a file gives, and what each mistake says.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;

const GATE: &str = "[streams.gate]\nurl = \"rtsp://admin:hunter2@10.0.0.5/main\"\n";

fn read(text: &str) -> Result<Config, ConfigError> {
    read_with(text, &[])
}

fn read_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    parse(Some((text, Path::new("etc/millrace.toml"))), &environment, &Overrides::default())
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn model(config: &Config, name: &str) -> ModelConfig {
    config.models[&name.parse().unwrap()].clone()
}

fn stream(config: &Config, id: &str) -> StreamConfig {
    config.streams[&id.parse().unwrap()].clone()
}

#[test]
fn a_file_with_one_stream_and_one_model_is_enough() {
    let config = read(&format!("{GATE}[models.shapes]\npath = \"shapes.onnx\"\n")).unwrap();
    let shapes = model(&config, "shapes");
    assert_eq!(shapes.path.unwrap(), Path::new("etc/shapes.onnx"));
    assert_eq!(shapes.sample.every, Span::from_millis(1_000));
    assert_eq!(config.data, Path::new("etc/data"));
    assert_eq!(stream(&config, "gate").spool_policy(), SpoolPolicy::DropOldest);
}

#[test]
fn durations_and_sizes_are_read_as_people_write_them() {
    let config = read(
        "[models.m]\nalgorithm = \"sleep:20ms\"\nsample = { every = 0.5, max_delay = \"2s\" }\n\
         [receive]\nspool_bytes = \"64 MiB\"\n",
    )
    .unwrap();
    assert_eq!(model(&config, "m").sample.every, Span::from_millis(500));
    assert_eq!(model(&config, "m").sample.max_delay, Span::from_millis(2_000));
    assert_eq!(config.receive.spool_bytes, Size::from_bytes(64 << 20));
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known() {
    assert_eq!(
        error("data = \"d\"\n\n[models.m]\nalgorithm = \"circles\"\nsample = { evry = \"1s\" }\n"),
        "etc/millrace.toml:5:12: key \"models.m.sample.evry\": unknown key; did you mean \"every\"?"
    );
    assert!(error("colour = 1\n").contains("wanted \"data\", \"backend\", \"streams\""));
}

#[test]
fn a_value_of_the_wrong_kind_says_what_was_found_and_wanted() {
    assert_eq!(
        error("[receive]\nbackoff_min = \"soon\"\n"),
        "etc/millrace.toml:2:15: key \"receive.backoff_min\": found string \"soon\", wanted a duration such as \
         \"1.5s\", \"500ms\" or a number of seconds"
    );
    assert_eq!(
        error("[models.m]\nalgorithm = \"circles\"\nsample.pick = \"best\"\n"),
        "etc/millrace.toml:3:15: key \"models.m.sample.pick\": found \"best\", wanted \"keyframe\" or \"exact\""
    );
    assert!(
        error("[infer]\nprefetch = -1\n")
            .contains("found integer `-1`, wanted a whole number that is not negative")
    );
}

#[test]
fn bounds_are_part_of_the_message() {
    assert_eq!(
        error("[models.m]\nalgorithm = \"circles\"\nsample.quality = 0\n"),
        "etc/millrace.toml:3:18: key \"models.m.sample.quality\": found 0, wanted 1 to 100"
    );
    for (sample, part) in [
        ("every = 0", "key \"models.m.sample.every\": found 0ns, wanted 1ms to"),
        ("frames = 0", "wanted 1 to 256"),
        ("step = 0", "wanted 1 to 10000"),
        ("frames = 256\nstep = 10000", "windows of 2560000 pictures: wanted 16384 at most"),
        ("max_frames = 100000", "wanted 1 to 256"),
        ("encode = \"h264\"\npick = \"exact\"", "wanted pick = \"keyframe\""),
        ("encode = \"h264\"\nframes = 2", "wanted frames = 1"),
        ("encode = \"h264\"\nmax_width = 640", "cannot be scaled down"),
    ] {
        let text = format!("[models.m]\nalgorithm = \"circles\"\n[models.m.sample]\n{sample}\n");
        assert!(error(&text).contains(part), "{sample}: {}", error(&text));
    }
}

#[test]
fn what_would_stop_workers_is_beyond_the_bounds() {
    for (line, part) in [
        ("infer.lease = \"3601s\"", "wanted 1s to 3600s"),
        ("infer.wait = \"6s\"", "wanted 10ms to 5s"),
        ("delivery.max_bytes = \"7 MiB\"", "wanted 8388608 to"),
    ] {
        assert!(error(line).contains(part), "{line}: {}", error(line));
    }
    assert!(read("infer.lease = \"1h\"\ninfer.wait = \"5s\"\n").is_ok());
}

#[test]
fn two_streams_with_one_id_are_named_with_both_lines() {
    let text = format!(
        "{GATE}\n[models.m]\nalgorithm = \"circles\"\n\n[ streams.\"gate\" ]\nurl = \"scene:\"\n"
    );
    assert_eq!(
        error(&text),
        "etc/millrace.toml:7:11: stream \"gate\" is defined twice: lines 1 and 7"
    );
    let text = "[queue]\nmax_receives = 1\nmax_receives = 2\n";
    assert!(
        error(text).ends_with("key \"max_receives\" is defined twice: lines 2 and 3"),
        "{}",
        error(text)
    );
}

#[test]
fn what_is_not_toml_is_placed() {
    let text = error("data = \n");
    assert!(text.starts_with("etc/millrace.toml:1:8: not TOML: "), "{text}");
}

#[test]
fn models_have_one_origin_and_streams_know_their_models() {
    assert!(error("[models.m]\n").contains("key \"models.m\": needs \"path\""));
    assert!(error("[models.m]\npath = \"a.onnx\"\nalgorithm = \"circles\"\n").contains("excludes"));
    assert!(
        error("[models.m]\nalgorithm = \"magic\"\n")
            .contains("wanted \"circles\" or \"sleep:DURATION\"")
    );
    let text = format!("{GATE}models = [\"faces\"]\n[models.m]\nalgorithm = \"circles\"\n");
    assert!(
        error(&text).contains("model \"faces\" is not defined; defined: m"),
        "{}",
        error(&text)
    );
}

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
    for url in ["rtsp://u:p@ss/w?rd#1@10.0.0.5/x", "rtsp://u:s3#cret@10.0.0.5/x"] {
        let error = error(&format!("[streams.g]\nurl = \"{url}\"\n"));
        assert!(error.contains("write them as %2F, %3F and %23"), "{error}");
        assert!(!error.contains("ss/w") && !error.contains("cret"), "{error}");
    }
    for url in [
        "rtsp://u:p@ss@10.0.0.5/x",
        "rtsp://10.0.0.5/user=a@b",
        "rtsp://10.0.0.5:554/x?u=a@b",
        "rtsp://[::1]/a@b",
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
fn the_certificates_of_a_stream_lie_beside_the_configuration() {
    let text = "[streams.g]\nurl = \"rtsps://h/x\"\nca = \"ca.pem\"\n";
    let file = Path::new("/etc/millrace/millrace.toml");
    let config = parse(Some((text, file)), &BTreeMap::new(), &Overrides::default()).unwrap();
    assert_eq!(stream(&config, "g").ca.as_deref(), Some(Path::new("/etc/millrace/ca.pem")));
}

#[test]
fn types_have_the_names_that_toml_has_for_them() {
    for (text, words) in [
        ("streams = 3\n", "wanted a table"),
        (
            "[models.m]\nalgorithm = \"circles\"\nsample = { frames = -1 }\n",
            "wanted a whole number that is not negative",
        ),
        ("[models.m]\nalgorithm = \"circles\"\nsample = 3\n", "wanted a table"),
        ("[aws]\nfifo = 3\n", "wanted a list"),
        ("[streams.g]\nurl = \"scene:\"\npaced = 3\n", "wanted true or false"),
    ] {
        let error = error(text);
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
fn every_key_can_come_from_the_environment() {
    let environment = [
        ("MILLRACE_DATA", "/var/lib/millrace"),
        ("MILLRACE_INFER__INSTANCES", "4"),
        ("MILLRACE_STREAMS__GATE__PACED", "true"),
        ("MILLRACE_STREAMS__GATE__MODELS", "m"),
        ("MILLRACE_STREAMS__CITY_TRAFFIC__URL", "scene:?seed=2"),
        ("MILLRACE_MODELS__M__SAMPLE__EVERY", "250ms"),
        ("MILLRACE_LOG", "debug"),
        ("MILLRACE_LOG_FORMAT", "json"),
        ("UNRELATED", "x"),
    ];
    let text = format!(
        "{GATE}[streams.city-traffic]\nurl = \"scene:\"\n[models.m]\nalgorithm = \"circles\"\n"
    );
    let config = read_with(&text, &environment).unwrap();
    assert_eq!(config.data, Path::new("/var/lib/millrace"));
    assert_eq!(config.infer.instances, 4);
    assert!(stream(&config, "gate").paced);
    assert_eq!(stream(&config, "gate").models.unwrap().len(), 1);
    assert_eq!(stream(&config, "city-traffic").url, "scene:?seed=2");
    assert_eq!(model(&config, "m").sample.every, Span::from_millis(250));
}

#[test]
fn an_error_in_a_variable_names_the_variable() {
    let wrong = |name, value| read_with("", &[(name, value)]).unwrap_err().to_string();
    assert_eq!(
        wrong("MILLRACE_INFER__INSTANCES", "many"),
        "environment variable MILLRACE_INFER__INSTANCES: key \"infer.instances\": found string \"many\", wanted \
         a whole number"
    );
    assert!(wrong("MILLRACE_DATAA", "x").contains("did you mean \"data\"?"));
    assert!(
        wrong("MILLRACE_QUEUE__MAX_RECEIVES", "0")
            .starts_with("environment variable MILLRACE_QUEUE")
    );
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let environment = BTreeMap::from([("MILLRACE_DATA".to_owned(), "from-variable".to_owned())]);
    let mut flags = Overrides::default();
    let file = Some(("data = \"from-file\"\n", Path::new("etc/millrace.toml")));
    assert_eq!(parse(file, &environment, &flags).unwrap().data, Path::new("from-variable"));
    flags.set("--data", &["data"], "from-flag");
    assert_eq!(parse(file, &environment, &flags).unwrap().data, Path::new("from-flag"));
}

#[test]
fn files_of_streams_are_relative_to_the_configuration() {
    let config =
        read("[streams.a]\nurl = \"file:clips/a.mp4\"\n[streams.b]\nurl = \"file:/b.mp4\"\n")
            .unwrap();
    assert_eq!(stream(&config, "a").url, "file:etc/clips/a.mp4");
    assert_eq!(stream(&config, "b").url, "file:/b.mp4");
    assert_eq!(stream(&config, "a").spool_policy(), SpoolPolicy::Block);
}

#[test]
fn a_missing_file_is_named() {
    let error =
        load(Some(Path::new("no/such.toml")), &Overrides::default()).unwrap_err().to_string();
    assert!(error.starts_with("no/such.toml: read configuration: "), "{error}");
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

#[test]
fn telemetry_is_served_and_sent_where_somebody_can_listen() {
    let config =
        read("[telemetry]\nlisten = \"[::1]:9090\"\notlp = \"http://otel:4318\"\n").unwrap();
    assert_eq!(config.telemetry.listen.as_deref(), Some("[::1]:9090"));
    for (line, wanted) in [
        ("listen = \"9090\"", "key \"telemetry.listen\": found \"9090\", wanted HOST:PORT"),
        ("listen = \":9090\"", "wanted HOST:PORT"),
        ("listen = \"host:70000\"", "wanted HOST:PORT"),
        (
            "otlp = \"otel:4318\"",
            "key \"telemetry.otlp\": found \"otel:4318\", wanted http://HOST:PORT",
        ),
        ("otlp = \"http://\"", "wanted http://HOST:PORT"),
        ("otlp = \"http://:4318\"", "wanted http://HOST:PORT"),
        ("otlp = \"http://api:t0ken@otel:4318\"", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("otlp = \"http://otel:4318/?key=t0ken\"", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("trace_ratio = 1.5", "key \"telemetry.trace_ratio\": found 1.5, wanted 0 to 1"),
    ] {
        let error = error(&format!("[telemetry]\n{line}\n"));
        assert!(error.contains(wanted), "{wanted:?} in {error:?}");
    }
}

/// The variables by which Kubernetes tells of a service: <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>.
const SERVICE_LINKS: [(&str, &str); 8] = [
    ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ("MILLRACE_RECEIVER_SERVICE_HOST", "10.96.7.7"),
    ("MILLRACE_RECEIVER_SERVICE_PORT", "9464"),
    ("MILLRACE_RECEIVER_SERVICE_PORT_TELEMETRY", "9464"),
    ("MILLRACE_RECEIVER_PORT", "tcp://10.96.7.7:9464"),
    ("MILLRACE_RECEIVER_PORT_9464_TCP", "tcp://10.96.7.7:9464"),
    ("MILLRACE_RECEIVER_PORT_9464_TCP_PROTO", "tcp"),
    ("MILLRACE_RECEIVER_PORT_9464_TCP_ADDR", "10.96.7.7"),
];

#[test]
fn the_variables_of_a_kubernetes_service_stop_no_pod() {
    let environment = [&SERVICE_LINKS[..], &[("MILLRACE_DATA", "elsewhere")]].concat();
    assert_eq!(read_with("", &environment).unwrap().data, Path::new("elsewhere"));
}

#[test]
fn a_mistyped_key_beside_the_variables_of_a_service_is_told() {
    for mistyped in
        ["MILLRACE_RECEIVR__SPOOL_BYTES", "MILLRACE_RECEIVER_PORTS", "MILLRACE_QUEUE_PORT"]
    {
        let environment = [&SERVICE_LINKS[..], &[(mistyped, "1")]].concat();
        let error = read_with("", &environment).unwrap_err().to_string();
        assert!(error.contains(mistyped) && error.contains("unknown key"), "{error}");
    }
}

#[test]
fn what_looks_like_a_service_and_is_none_is_a_key() {
    let (in_a_pod, of_the_service) = SERVICE_LINKS.split_at(1);
    let error = read_with("", of_the_service).unwrap_err().to_string();
    assert!(error.contains("unknown key"), "no pod: {error}");
    for half in of_the_service {
        let environment = [in_a_pod, &[*half]].concat();
        let error = read_with("", &environment).unwrap_err().to_string();
        assert!(error.contains(half.0) && error.contains("unknown key"), "{error}");
    }
}

fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let file = Some((text, Path::new("m.toml")));
    let survey = survey::survey_text(file, &environment, &Overrides::default());
    survey.mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let text = "dat = \"d\"\n\
                [streams.gate]\nurl = \"rtsp://camera/1\"\nsilence = \"soon\"\npassword = \"${NOT_SET}\"\n\
                [streams.yard]\nmodels = [\"shapes\"]\n\
                [models.shapes]\npath = \"s.onnx\"\nsample = { quality = 300, every = \"1s\" }\n\
                [models.both]\npath = \"s.onnx\"\nalgorithm = \"circles\"\n";
    let found = mistakes(text, &[("MILLRACE_INFER__INSTANCES", "many")]);
    let named = [
        ["m.toml:5:12", "streams.gate.password", "NOT_SET"],
        ["m.toml:1:1", "dat", "did you mean \"data\""],
        ["MILLRACE_INFER__INSTANCES", "infer.instances", "many"],
        ["m.toml:13:13", "models.both.algorithm", "excludes the key \"path\""],
        ["m.toml:10:22", "models.shapes.sample.quality", "300"],
        ["m.toml:4:11", "streams.gate.silence", "soon"],
        ["m.toml:6", "streams.yard", "missing key \"url\""],
    ];
    for words in named {
        let is_told = |line: &&String| words.iter().all(|word| line.contains(word));
        assert_eq!(found.iter().filter(is_told).count(), 1, "{words:?} in {found:#?}");
    }
    assert_eq!(found.len(), named.len(), "{found:#?}");
}

#[test]
fn every_mistake_of_one_list_is_told_with_its_place() {
    let text = "[streams.gate]\nurl = \"scene:\"\nmodels = [1, \"circles\", \"no name\", \"a\", \"b\"]\n\
                [models.circles]\nalgorithm = \"circles\"\n[aws]\nfifo = [\"c\", \"d\"]\n";
    let found = mistakes(text, &[]);
    let named = [
        ["m.toml:3:11", "streams.gate.models.0"],
        ["m.toml:3:25", "streams.gate.models.2"],
        ["m.toml:3:10", "models \"a\", \"b\" are not defined; defined: circles"],
        ["m.toml:7:8", "models \"c\", \"d\" are not defined"],
    ];
    for words in named {
        let is_told = |line: &&String| words.iter().all(|word| line.contains(word));
        assert_eq!(found.iter().filter(is_told).count(), 1, "{words:?} in {found:#?}");
    }
    assert_eq!(found.len(), named.len(), "{found:#?}");
}

#[test]
fn a_mistake_that_another_one_brings_about_is_not_told() {
    let text = "[streams.gate]\nurl = 7\nmodels = [\"shapes\"]\n[models.shapes]\npath = \"s.onnx\"\n\
                algorithm = \"circles\"\n";
    let found = mistakes(text, &[]);
    assert_eq!(found.len(), 2, "neither a missing url nor an unknown model: {found:#?}");
    assert!(!found.concat().contains("missing key"), "{found:#?}");
}

#[test]
fn a_model_that_is_wrong_itself_is_not_said_to_be_unknown_and_others_are() {
    let named = "[streams.gate]\nurl = \"scene:\"\nmodels = [\"shapes\", \"crabs\"]\n[aws]\nfifo = [\"shapes\"]\n";
    let unknown = "model \"crabs\" is not defined";
    for wrong in [
        "[models]\nshapes = 5\n",
        "[models.shapes]\nalgorithm = \"${NOT_SET}\"\n",
        "[models.shapes]\n",
    ] {
        let found = mistakes(&format!("{named}{wrong}"), &[]);
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found.iter().any(|mistake| mistake.contains(unknown)), "{found:#?}");
        assert!(!found.concat().contains("models \"shapes\""), "{found:#?}");
    }
    let found = mistakes(&format!("models = 5\n{named}"), &[]);
    assert_eq!(found.len(), 1, "no model is known then: {found:#?}");
    let listed = [("MILLRACE_STREAMS__GATE__MODELS", "shapes")];
    let found = mistakes(&format!("{named}[models.shapes]\n"), &listed);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn a_text_that_is_no_toml_is_one_mistake() {
    assert_eq!(mistakes("[streams.gate\n", &[]).len(), 1);
}

#[test]
fn what_is_kept_is_all_unless_it_is_said() {
    let keep = |text| read(text).map(|config| config.retention.objects);
    assert_eq!(keep("").unwrap(), KeepConfig::default());
    let both = keep("[retention]\nobjects = { age = \"7d\", bytes = \"100GiB\" }").unwrap();
    assert_eq!(both.age, Some(Span::from_millis(7 * 24 * 3_600_000)));
    assert_eq!(both.bytes, Some(Size::from_bytes(100 << 30)));
    let age = keep("[retention.objects]\nage = \"1d 12h\"").unwrap();
    assert_eq!((age.age, age.bytes), (Some(Span::from_millis(36 * 3_600_000)), None));
}

#[test]
fn what_is_kept_has_bounds_and_is_the_data_folder_s_alone() {
    let refused = |keep: &str| error(&format!("[retention]\nobjects = {{ {keep} }}"));
    let young = refused("age = \"9min\"");
    assert!(young.contains("key \"retention.objects.age\": found 540s, wanted 600s to"), "{young}");
    let months = refused("age = \"2 months\"");
    assert!(months.contains("a duration such as"), "{months}");
    let small = refused("bytes = \"1 kB\"");
    assert!(
        small.contains("key \"retention.objects.bytes\": found 1000, wanted 1048576 to"),
        "{small}"
    );
    let aws = error("backend = \"aws\"\n[retention]\nobjects = { age = \"7d\" }");
    let expected = "key \"retention.objects\": is about the data folder, and backend = \"aws\" keeps none: the bucket's \
                    lifecycle removes objects (frames_days of the Terraform module)";
    assert!(aws.ends_with(expected), "{aws}");
}

#[test]
fn accounts_are_kept_by_age_and_bytes_with_either_backend() {
    let accounts = |text: &str| read(text).map(|config| config.retention.accounts);
    assert_eq!(accounts("").unwrap(), KeepConfig::default());
    for backend in ["embedded", "aws"] {
        let text = format!(
            "backend = \"{backend}\"\n[retention]\naccounts = {{ age = \"365d\", bytes = \"64MiB\" }}\n"
        );
        let both = accounts(&text).unwrap();
        assert_eq!(both.age, Some(Span::from_millis(365 * 24 * 3_600_000)));
        assert_eq!(both.bytes, Some(Size::from_bytes(64 << 20)));
    }
    let refused = |keep: &str| error(&format!("[retention.accounts]\n{keep}"));
    let young = refused("age = \"9min\"");
    assert!(young.contains("\"retention.accounts.age\": found 540s, wanted 600s to"), "{young}");
    let small = refused("bytes = \"1 kB\"");
    assert!(small.contains("\"retention.accounts.bytes\": found 1000, wanted 1048576"), "{small}");
}
