//! One trace from the access unit to the row, over two processes, as an OTLP endpoint receives it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;

use crate::running::{Running, eventually};
use crate::site::Site;

type Spans = Arc<Mutex<Vec<Span>>>;

/// Takes spans as a collector does; gives its URL.
async fn collector(spans: Spans) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/traces", post(take_spans)).with_state(spans);
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

async fn take_spans(State(spans): State<Spans>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
}

fn config(otlp: &str) -> String {
    format!(
        "[telemetry]\notlp = \"{otlp}\"\n\
         [streams.gate]\nurl = \"scene:?seed=3&width=320&height=192&fps=25&seconds=4\"\n\
         [models.round]\nalgorithm = \"circles\"\n\
         sample = {{ every = \"200ms\", pick = \"exact\", max_frames = 3 }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_s_way_is_one_trace_over_both_processes() {
    let spans = Spans::default();
    let site = Site::new(&config(&collector(Arc::clone(&spans)).await));
    site.run(&["receive"]).ok();
    let workers = Running::start(site.command(&["infer", "--log-format", "json"]));
    let audit = || site.run(&["audit"]).out;
    eventually(|| Some(audit()).filter(|said| said.contains("= delivered 20")).ok_or_else(audit));
    let (status, said) = workers.terminate();
    assert!(status.success(), "{said:?}");

    let mut traces: BTreeMap<Vec<u8>, Vec<Span>> = BTreeMap::new();
    for span in spans.lock().unwrap().drain(..) {
        traces.entry(span.trace_id.clone()).or_default().push(span);
    }
    assert_eq!(traces.len(), 7, "20 frames in bundles of 3");
    for trace in traces.values() {
        assert_is_whole(trace);
    }
}

fn assert_is_whole(trace: &[Span]) {
    let named =
        |name: &str| -> Vec<&Span> { trace.iter().filter(|span| span.name == name).collect() };
    let names: Vec<&str> = trace.iter().map(|span| span.name.as_str()).collect();
    let ([take], [ship], [answer]) = (&named("take")[..], &named("ship")[..], &named("answer")[..])
    else {
        panic!("{names:?}");
    };
    assert_eq!((&ship.parent_span_id, &answer.parent_span_id), (&take.span_id, &take.span_id));
    assert!(take.parent_span_id.is_empty());
    assert!(take.start_time_unix_nano <= take.end_time_unix_nano);
    for (name, times) in [("fetch", 1), ("decode", 2), ("run", 2), ("deliver", 1)] {
        let parts = named(name);
        assert!(parts.len() >= times, "{name} in {names:?}");
        assert!(parts.iter().all(|part| part.parent_span_id == answer.span_id), "{name}");
        assert!(parts.iter().all(|part| part.start_time_unix_nano >= answer.start_time_unix_nano));
    }
    let keys: Vec<&str> = take.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    assert_eq!(keys, ["stream", "epoch", "model", "frames", "first_seq", "last_seq"]);
}
