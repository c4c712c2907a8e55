//! What the keys may hold, and what is said of what they may not.

use super::*;

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
        ("fresh = \"50ms\"", "key \"models.m.sample.fresh\": found 50ms, wanted 100ms to"),
        ("fresh = \"1s\"", "1s is over before a bundle has waited to fill (max_delay = \"1s\")"),
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
