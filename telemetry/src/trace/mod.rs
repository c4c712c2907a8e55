//! Traces: one for each bundle of frames, from its first access unit through queue and worker to its rows.
//!
//! A bundle's trace context travels in its message (`traceparent`). Without an exporter no span is made, and the
//! context is random and says "not sampled".

mod context;
mod export;

use std::fmt;
use std::time::SystemTime;

use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::trace::{Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};

pub use context::trace_id;
pub use export::Exporter;

/// A piece of work that takes time; it ends when it is dropped.
#[derive(Debug)]
pub struct Span(Context);

impl Span {
    /// Begins a trace with a piece of work that began at `since`.
    pub fn root(name: &'static str, since: SystemTime) -> Self {
        Self::begin(name, Some(since), &Context::new())
    }

    /// Begins a piece of work in the trace of a message; one without a context is not traced.
    pub fn within(name: &'static str, traceparent: &str) -> Self {
        let parent = context::parse(traceparent)
            .map(|remote| Context::new().with_remote_span_context(remote))
            .unwrap_or_default();
        Self(parent).child(name)
    }

    /// Begins a piece of work that is part of this one.
    pub fn child(&self, name: &'static str) -> Self {
        if self.0.span().span_context().is_sampled() {
            Self::begin(name, None, &self.0)
        } else {
            Self(Context::new())
        }
    }

    /// Says more of it.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.0.span().set_attribute(KeyValue::new(key, value));
    }

    /// Says how many of something.
    pub fn count(&self, key: &'static str, count: u64) {
        self.set(key, i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Says that it failed.
    pub fn fail(&self, cause: impl fmt::Display) {
        let span = self.0.span();
        if span.is_recording() {
            span.set_status(Status::error(cause.to_string()));
        }
    }

    /// Its W3C trace context; a random one, not sampled, where there is none.
    pub fn traceparent(&self) -> String {
        context::print(self.0.span().span_context())
    }

    fn begin(name: &'static str, since: Option<SystemTime>, parent: &Context) -> Self {
        let tracer = tracer();
        let mut builder = tracer.span_builder(name);
        builder.start_time = since;
        let span = tracer.build_with_context(builder, parent);
        Self(Context::new().with_span(span))
    }
}

/// Does a piece of work that is part of `span`.
pub async fn inside<T>(span: &Span, name: &'static str, work: impl Future<Output = T>) -> T {
    let part = span.child(name);
    let done = work.await;
    drop(part);
    done
}

fn tracer() -> BoxedTracer {
    global::tracer("millrace")
}
