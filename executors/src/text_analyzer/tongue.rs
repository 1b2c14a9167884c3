//! Which language a text is in, by its letters and letter groups.
//!
//! Invariant: an uncertain guess says so.

use schemars::JsonSchema;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Tongue {
    /// ISO 639-1 where there is one, else ISO 639-3; null for a text without words.
    pub(crate) code: Option<String>,
    /// The language's English name.
    pub(crate) name: Option<String>,
    /// 0 to 1.
    pub(crate) confidence: f64,
    /// False for short or mixed texts.
    pub(crate) reliable: bool,
}

pub(super) fn of(text: &str) -> Tongue {
    let Some(info) = whatlang::detect(text) else {
        return Tongue { code: None, name: None, confidence: 0.0, reliable: false };
    };
    let lang = info.lang();
    Tongue {
        code: Some(two_letters(lang).to_owned()),
        name: Some(lang.eng_name().to_owned()),
        confidence: (info.confidence() * 1000.0).round() / 1000.0,
        reliable: info.is_reliable(),
    }
}

fn two_letters(lang: whatlang::Lang) -> &'static str {
    match lang.code() {
        "eng" => "en",
        "deu" => "de",
        "fra" => "fr",
        "spa" => "es",
        "ita" => "it",
        "por" => "pt",
        "nld" => "nl",
        "swe" => "sv",
        "dan" => "da",
        "nob" => "nb",
        "fin" => "fi",
        "pol" => "pl",
        "ces" => "cs",
        "slk" => "sk",
        "slv" => "sl",
        "hrv" => "hr",
        "srp" => "sr",
        "bul" => "bg",
        "rus" => "ru",
        "ukr" => "uk",
        "bel" => "be",
        "ron" => "ro",
        "hun" => "hu",
        "ell" => "el",
        "tur" => "tr",
        "ara" => "ar",
        "heb" => "he",
        "pes" => "fa",
        "hin" => "hi",
        "ben" => "bn",
        "tam" => "ta",
        "tel" => "te",
        "urd" => "ur",
        "tha" => "th",
        "vie" => "vi",
        "ind" => "id",
        "cmn" => "zh",
        "jpn" => "ja",
        "kor" => "ko",
        "cat" => "ca",
        "lit" => "lt",
        "lav" => "lv",
        "est" => "et",
        "lat" => "la",
        "epo" => "eo",
        "afr" => "af",
        "kat" => "ka",
        "hye" => "hy",
        "aze" => "az",
        "mkd" => "mk",
        other => other,
    }
}
