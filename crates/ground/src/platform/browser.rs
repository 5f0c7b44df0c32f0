//! Opens addresses in the browser of the user.

use std::process::{Command, Stdio};

/// Opens `url` in the browser. False if there is none, as on a machine without a screen, or if `url` is not an address of a
/// web page. Does not wait for the browser.
pub fn open(url: &str) -> bool {
    is_address(url) && has_screen() && start(url)
}

/// Whether `url` is an address of a web page that needs no quoting for any program.
fn is_address(url: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?=[]@".contains(c);
    (url.starts_with("https://") || url.starts_with("http://")) && url.chars().all(allowed)
}

#[cfg(any(windows, target_os = "macos"))]
fn has_screen() -> bool {
    true
}

/// The variables name the display of the session.
#[cfg(not(any(windows, target_os = "macos")))]
fn has_screen() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

fn start(url: &str) -> bool {
    let (program, first) = if cfg!(windows) {
        ("rundll32", Some("url.dll,FileProtocolHandler"))
    } else if cfg!(target_os = "macos") {
        ("open", None)
    } else {
        ("xdg-open", None)
    };
    let mut command = Command::new(program);
    let quiet = command
        .args(first)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_opened() {
        assert!(is_address("https://d111111abcdef8.cloudfront.net"));
        assert!(is_address("http://e1.cloudfront.localhost:4566/a?b=c"));
        for url in [
            "",
            "--help",
            "file:///etc/passwd",
            "javascript:x",
            "https://a b",
            "http://a/$(x)",
            "http://a/&b",
        ] {
            assert!(!is_address(url) && !open(url), "{url}");
        }
    }
}
