//! The console's cookies: the session, the visitor's mark, the theme, and a notice taken over a redirect.
//!
//! Invariant: the session's cookie is never readable by scripts, and over TLS it is bound to this host.

use actix_web::cookie::{Cookie, SameSite, time};
use app::data::{Notice, SingleKeys, Theme};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Host;

const THEME: &str = "weir_theme";
const SINGLE_KEYS: &str = "weir_single_keys";
const NOTICE: &str = "weir_notice";
const VISITOR: &str = "weir_visitor";
/// The longest notice that is carried, in bytes of its cookie.
const NOTICE_LIMIT: usize = 2_048;

impl Host {
    /// `__Host-weir`, or `weir` on plain loopback, where browsers refuse the prefix.
    pub(super) const fn session_cookie(&self) -> &'static str {
        if self.secure { "__Host-weir" } else { "weir" }
    }

    pub(super) fn session(&self, token: String) -> Cookie<'static> {
        self.cookie(self.session_cookie(), token).max_age(time::Duration::days(30)).finish()
    }

    pub(super) fn no_session(&self) -> Cookie<'static> {
        self.cookie(self.session_cookie(), String::new()).max_age(time::Duration::ZERO).finish()
    }

    /// Binds the sign-in form's token to one browser.
    pub(super) fn visitor(&self, mark: String) -> Cookie<'static> {
        self.cookie(VISITOR, mark).max_age(time::Duration::hours(12)).finish()
    }

    pub(super) fn theme(&self, theme: Theme) -> Cookie<'static> {
        let age = if theme == Theme::System { time::Duration::ZERO } else { time::Duration::days(365) };
        self.cookie(THEME, theme.as_str().to_owned()).max_age(age).finish()
    }

    pub(super) fn single_keys(&self, keys: SingleKeys) -> Cookie<'static> {
        let age = if keys == SingleKeys::On { time::Duration::ZERO } else { time::Duration::days(365) };
        self.cookie(SINGLE_KEYS, keys.as_str().to_owned()).max_age(age).finish()
    }

    pub(super) fn notice(&self, notice: &Notice) -> Cookie<'static> {
        let written = serde_json::to_vec(notice).map(|json| URL_SAFE_NO_PAD.encode(json)).unwrap_or_default();
        self.cookie(NOTICE, written).max_age(time::Duration::minutes(1)).finish()
    }

    pub(super) fn no_notice(&self) -> Cookie<'static> {
        self.cookie(NOTICE, String::new()).max_age(time::Duration::ZERO).finish()
    }

    fn cookie(&self, name: &'static str, value: String) -> actix_web::cookie::CookieBuilder<'static> {
        Cookie::build(name, value).path("/").http_only(true).secure(self.secure).same_site(SameSite::Lax)
    }
}

/// What the request's cookies say, as far as it is understood.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) session: Option<String>,
    pub(super) visitor: Option<String>,
    pub(super) theme: Theme,
    pub(super) single_keys: SingleKeys,
    pub(super) notice: Option<Notice>,
}

pub(super) fn read(host: &Host, request: &actix_web::HttpRequest) -> Said {
    let value =
        |name: &str| request.cookie(name).map(|cookie| cookie.value().to_owned()).filter(|text| !text.is_empty());
    Said {
        session: value(host.session_cookie()),
        visitor: value(VISITOR).filter(|mark| mark.len() <= 100),
        theme: match value(THEME).as_deref() {
            Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            _ => Theme::System,
        },
        single_keys: match value(SINGLE_KEYS).as_deref() {
            Some("off") => SingleKeys::Off,
            _ => SingleKeys::On,
        },
        notice: value(NOTICE)
            .filter(|text| text.len() <= NOTICE_LIMIT)
            .and_then(|text| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()),
    }
}
