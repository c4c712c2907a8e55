//! File, variables and flags over each other.

use super::*;

#[test]
fn the_certificates_of_a_stream_lie_beside_the_configuration() {
    let text = "[streams.g]\nurl = \"rtsps://h/x\"\nca = \"ca.pem\"\n";
    let file = Path::new("/etc/millrace/millrace.toml");
    let config = parse(Some((text, file)), &BTreeMap::new(), &Overrides::default()).unwrap();
    assert_eq!(stream(&config, "g").ca.as_deref(), Some(Path::new("/etc/millrace/ca.pem")));
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
