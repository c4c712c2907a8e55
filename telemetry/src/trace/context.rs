//! The text of a trace context: version, trace, span, flags (W3C Trace Context §3.2).

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The id of the trace that a `traceparent` names.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    is_hex(id, 32).then_some(id)
}

/// Reads a `traceparent`.
pub(super) fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut fields = traceparent.split('-');
    let (version, trace, span, flags) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let known = version == "00" && fields.next().is_none();
    if !known || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

/// Writes a `traceparent`: the context's, or a random one that is not sampled.
pub(super) fn print(context: &SpanContext) -> String {
    if context.is_valid() {
        let flags = u8::from(context.is_sampled());
        return format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id());
    }
    let (trace, span): (u128, u64) = (rand::random(), rand::random());
    format!("00-{:032x}-{:016x}-00", trace.max(1), span.max(1))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_written_as_it_was_read() {
        let context = parse(EXAMPLE).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(print(&context), EXAMPLE);
        assert_eq!(trace_id(EXAMPLE), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    }

    #[test]
    fn what_is_no_context_is_none() {
        for text in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn without_a_span_the_context_is_random_and_not_sampled() {
        let texts = [print(&SpanContext::NONE), print(&SpanContext::NONE)];
        assert_ne!(texts[0], texts[1]);
        for text in texts {
            assert!(!parse(&text).unwrap().is_sampled());
        }
    }
}
