//! The variables by which Kubernetes tells a pod of the services beside it: for a service called `millrace-receiver`
//! they begin as our own do, and are no keys.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Tells for each service which variables are its own.
///
/// A service is one whose address and port are both told, in a pod; other variables stay keys, mistyped ones too.
pub(super) fn service_links(
    environment: &BTreeMap<String, String>,
) -> BTreeMap<&str, BTreeSet<&str>> {
    // Every pod has it, with `enableServiceLinks: false` as well.
    if !environment.contains_key("KUBERNETES_SERVICE_HOST") {
        return BTreeMap::new();
    }
    let services = environment.keys().filter_map(|variable| {
        let service = variable.strip_suffix("_SERVICE_HOST")?;
        is_service(service, environment).then_some(service)
    });
    services.map(|service| (service, variables_of(service, environment))).collect()
}

fn is_service(service: &str, environment: &BTreeMap<String, String>) -> bool {
    let value = |end: &str| environment.get(&format!("{service}{end}"));
    let is_address = |host: &String| host.parse::<IpAddr>().is_ok();
    let is_port = |port: &String| port.parse::<u16>().is_ok();
    value("_SERVICE_HOST").is_some_and(is_address) && value("_SERVICE_PORT").is_some_and(is_port)
}

fn variables_of<'a>(service: &str, environment: &'a BTreeMap<String, String>) -> BTreeSet<&'a str> {
    let is_its_own = |variable: &&str| {
        let end = variable.strip_prefix(service).and_then(|end| end.strip_prefix('_'));
        end.is_some_and(is_link)
    };
    environment.keys().map(String::as_str).filter(is_its_own).collect()
}

/// Tells whether a variable that begins with a service's name ends as Kubernetes ends them.
fn is_link(end: &str) -> bool {
    let numbered = |rest: &str| {
        let (port, protocol) = rest.split_once('_').unwrap_or((rest, ""));
        let protocol = protocol.split('_').next();
        port.parse::<u16>().is_ok() && matches!(protocol, Some("TCP" | "UDP" | "SCTP"))
    };
    matches!(end, "SERVICE_HOST" | "SERVICE_PORT" | "PORT")
        || end.starts_with("SERVICE_PORT_")
        || end.strip_prefix("PORT_").is_some_and(numbered)
}
