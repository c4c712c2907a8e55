//! Passwords that stand in the middle of a URL, as some cameras want them.

/// What a password follows in the paths and queries of some cameras.
const PASSWORD_KEYS: [&str; 4] = ["password=", "passwd=", "pass=", "pwd="];
/// What ends a password there; `_` and `.` may be a part of it.
const PART_ENDS: [char; 7] = ['/', '?', '&', '#', ' ', '"', '\n'];

/// A text without the passwords that it names: `/user=me_password=***/1`.
pub fn masked(text: &str) -> String {
    text.split_inclusive(PART_ENDS).map(masked_part).collect()
}

fn masked_part(part: &str) -> String {
    let lower = part.to_ascii_lowercase();
    let values = PASSWORD_KEYS.iter().filter_map(|key| Some(lower.find(key)? + key.len()));
    let Some(value) = values.min() else { return part.to_owned() };
    let end = part.trim_end_matches(PART_ENDS).len();
    format!("{}***{}", &part[..value], &part[end..])
}
