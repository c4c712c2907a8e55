//! Passwords that end a URL's authority in their midst.

use std::net::Ipv4Addr;

/// What is wrong with a URL that is [`torn`].
pub const TORN_PASSWORD: &str = "seems to hold a password with '/', '?' or '#' in it: write them as %2F, %3F and %23, and '@' as %40 also \
     where it belongs to the path, or take the keys \"username\" and \"password\"";

/// Tells whether the authority of an address of a camera ends within a password.
pub fn torn(url: &str) -> bool {
    let (authority, rest) = parts(url.split_once("//").map_or("", |(_, rest)| rest));
    holds_torn_password(authority, rest)
}

/// What stands between `//` and the path, and what is behind it.
pub(super) fn parts(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// Tells whether the authority of a URL ends within a password: there is an '@' behind it, and what is taken for the host
/// has a user before it, no number for its port, or a name that may be a user's, and a port that may begin a password.
pub(super) fn holds_torn_password(authority: &str, rest: &str) -> bool {
    // The colons of an IPv6 address stand in brackets.
    let is_address = authority.starts_with('[');
    let name = authority.rsplit(']').next().unwrap_or_default();
    let is_host = !authority.contains('@')
        && name.rsplit_once(':').is_none_or(|(host, port)| {
            port.parse::<u16>().is_ok() && (is_address || host.parse::<Ipv4Addr>().is_ok())
        });
    rest.contains('@') && !is_host
}
