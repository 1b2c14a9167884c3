//! W3C trace context: which trace a request or run belongs to, read from and written to `traceparent` and `tracestate`.
//!
//! Invariant: ids are never all zero, and what is handed on is always well formed. What cannot be read is no error: whoever
//! gets `None` begins a trace of its own, as the standard says.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::RunId;

/// Names a trace: 16 bytes, on the wire 32 hex digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// Names one piece of work within a trace: 8 bytes, on the wire 16 hex digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

macro_rules! ids {
    ($($id:ident: $length:literal, $digits:literal, $what:literal;)*) => {$(
        impl $id {
            /// `None` for nothing but zeros, which name nothing.
            #[must_use]
            pub fn new(bytes: [u8; $length]) -> Option<Self> {
                (bytes != [0; $length]).then_some(Self(bytes))
            }

            /// The same where zeros are as good as any other bytes: they stand as 1.
            #[must_use]
            pub const fn made_of(mut bytes: [u8; $length]) -> Self {
                let mut index = 0;
                while index < $length {
                    if bytes[index] != 0 {
                        return Self(bytes);
                    }
                    index += 1;
                }
                bytes[$length - 1] = 1;
                Self(bytes)
            }

            /// Reads lower case hex digits, as many as it has.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::new(digits(text)?)
            }

            #[must_use]
            pub const fn bytes(self) -> [u8; $length] {
                self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom($what))
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $id {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^[0-9a-f]{", $digits, "}$")))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $id {}
    )*};
}

ids! {
    TraceId: 16, 32, "a trace id has 32 hex digits in lower case, not all of them 0";
    SpanId: 8, 16, "a span id has 16 hex digits in lower case, not all of them 0";
}

/// `sampled`: somebody upstream keeps this trace.
const SAMPLED: u8 = 0b01;
/// The flags that are handed on: `sampled`, and Level 2's `random`. The others have no meaning yet and are sent as 0.
const KNOWN_FLAGS: u8 = 0b11;
/// The vendors' part, in characters; the standard asks for at least that much to be handed on.
const STATE_LENGTH: usize = 512;
const STATE_MEMBERS: usize = 32;
/// Members longer than this go first when there is too much.
const LONG_MEMBER: usize = 128;

/// The trace that something belongs to, and the span it was started by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: TraceId,
    /// `None` where the trace began with it.
    pub parent_id: Option<SpanId>,
    flags: u8,
    state: String,
}

impl TraceContext {
    /// A trace that begins here. It counts as sampled: a run keeps what it does, so that the trace can be looked up.
    #[must_use]
    pub const fn begin(trace_id: TraceId) -> Self {
        Self { trace_id, parent_id: None, flags: SAMPLED, state: String::new() }
    }

    /// The trace of a run that nobody's trace stands behind.
    #[must_use]
    pub fn of_run(run: RunId) -> Self {
        Self::begin(TraceId::made_of(run.uuid().into_bytes()))
    }

    /// Reads what a caller sent: `traceparent`, and every `tracestate` line in order. `None`: there is no usable parent.
    #[must_use]
    pub fn read<'a>(traceparent: &str, tracestate: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let text = traceparent.trim_matches([' ', '\t']);
        let fields = text.get(..55)?;
        let mut parts = fields.split('-');
        let mut next = || parts.next();
        let (version, trace, span, flags) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return None;
        }
        let [version] = digits::<1>(version)?;
        // A version of the future may say more behind the fields known today; version 255 will never be.
        let behind = text.get(55..)?;
        let readable = match version {
            0 => behind.is_empty(),
            0xff => false,
            _ => behind.is_empty() || behind.starts_with('-'),
        };
        if !readable {
            return None;
        }
        let [flags] = digits::<1>(flags)?;
        Some(Self {
            trace_id: TraceId::parse(trace)?,
            parent_id: Some(SpanId::parse(span)?),
            flags: flags & KNOWN_FLAGS,
            state: state(tracestate).unwrap_or_default(),
        })
    }

    /// What was kept of a trace, as it was.
    #[must_use]
    pub fn kept(trace_id: TraceId, parent_id: Option<SpanId>, flags: u8, tracestate: &str) -> Self {
        Self { trace_id, parent_id, flags: flags & KNOWN_FLAGS, state: state([tracestate]).unwrap_or_default() }
    }

    /// The same trace for what is started by this span.
    #[must_use]
    pub fn below(&self, span: SpanId) -> Self {
        Self { parent_id: Some(span), ..self.clone() }
    }

    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// The header of a call that is made by this span.
    #[must_use]
    pub fn traceparent(&self, span: SpanId) -> String {
        format!("00-{}-{span}-{:02x}", self.trace_id, self.flags)
    }

    /// The vendors' part, handed on as it came; empty where there is none.
    #[must_use]
    pub fn tracestate(&self) -> &str {
        &self.state
    }
}

/// Hex digits in lower case, exactly as many as the bytes need.
fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes();
    if bytes.len() != N * 2 {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *byte = (value(pair[0])? << 4) | value(pair[1])?;
    }
    Some(out)
}

/// The lines as one list. `None` where a member cannot be read, which voids the list and nothing else.
fn state<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    for line in lines {
        for member in line.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let twice = || members.iter().any(|other| other.split_once('=').is_some_and(|(known, _)| known == key));
            if !is_key(key) || !is_value(value) || members.len() == STATE_MEMBERS || twice() {
                return None;
            }
            members.push(member);
        }
    }
    let length = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1);
    if length(&members) > STATE_LENGTH {
        members.retain(|member| member.len() <= LONG_MEMBER);
    }
    // The newest stand first.
    while length(&members) > STATE_LENGTH {
        members.pop();
    }
    Some(members.join(","))
}

/// `vendor`, or `tenant@vendor`.
fn is_key(key: &str) -> bool {
    let plain =
        |text: &str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'));
    let letter = |text: &str| text.starts_with(|first: char| first.is_ascii_lowercase());
    let letter_or_digit =
        |text: &str| text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    match key.split_once('@') {
        None => key.len() <= 256 && letter(key) && plain(key),
        Some((tenant, vendor)) => {
            tenant.len() <= 241
                && vendor.len() <= 14
                && letter_or_digit(tenant)
                && letter(vendor)
                && plain(tenant)
                && plain(vendor)
        }
    }
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(traceparent: &str) -> Option<TraceContext> {
        TraceContext::read(traceparent, [])
    }

    fn with_state(lines: &[&str]) -> String {
        TraceContext::read(&format!("00-{TRACE}-{SPAN}-01"), lines.iter().copied()).unwrap().state
    }

    #[test]
    fn a_parent_is_read_and_handed_on_with_another_span() {
        let context = read(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!((context.trace_id.to_string().as_str(), context.flags()), (TRACE, 1));
        assert_eq!(context.parent_id.unwrap().to_string(), SPAN);
        let own = SpanId::parse("b7ad6b7169203331").unwrap();
        assert_eq!(context.traceparent(own), format!("00-{TRACE}-b7ad6b7169203331-01"));
        let child = context.below(own);
        assert_eq!((child.trace_id, child.parent_id), (context.trace_id, Some(own)));
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-00")).unwrap().traceparent(own), format!("00-{TRACE}-{own}-00"));
    }

    #[test]
    fn what_is_not_well_formed_is_no_parent() {
        let zeros = |count| "0".repeat(count);
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01."),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{}-{SPAN}-01", zeros(32)),
            format!("00-{TRACE}-{}-01", zeros(16)),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("00 {TRACE} {SPAN} 01"),
            format!("00-{TRACE}{SPAN}---01"),
            format!("00-{TRACE}-{SPAN}-é1"),
            format!("00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_version_of_the_future_is_read_as_far_as_it_is_known() {
        for good in ["01", "cc", "fe"] {
            let plain = read(&format!("{good}-{TRACE}-{SPAN}-01")).unwrap();
            assert_eq!(plain.traceparent(SpanId::parse(SPAN).unwrap()), format!("00-{TRACE}-{SPAN}-01"));
            assert!(read(&format!("{good}-{TRACE}-{SPAN}-01-what-the-future-will-be")).is_some());
            assert_eq!(read(&format!("{good}-{TRACE}-{SPAN}-01.what")), None);
        }
    }

    #[test]
    fn flags_without_a_meaning_are_not_handed_on() {
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-ff")).unwrap().flags(), 0b11);
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-fe")).unwrap().flags(), 0b10);
    }

    #[test]
    fn the_vendors_part_is_handed_on_whole_or_not_at_all() {
        assert_eq!(
            with_state(&["rojo=00f067aa0ba902b7, congo=t61rcWkgMzE", "", " ,a@b=1"]),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,a@b=1"
        );
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=1")).collect();
        for bad in ["rojo", "=1", "a=", "A=1", "a=1,a=2", "a=b=c", "a=\u{7f}", "9a=1", "a@9b=1", &many.join(",")] {
            assert_eq!(with_state(&["good=1", bad]), "", "{bad}");
        }
        assert_eq!(with_state(&[&many[..32].join(",")]).split(',').count(), 32);
    }

    #[test]
    fn too_much_of_it_loses_its_long_members_first_and_then_the_oldest() {
        let long = format!("long={}", "x".repeat(200));
        let members: Vec<String> = (0..6).map(|number| format!("k{number}={}", "y".repeat(90))).collect();
        let kept = with_state(&[&format!("{long},{}", members.join(","))]);
        assert_eq!(kept, members[..5].join(","));
        assert!(kept.len() <= STATE_LENGTH);
    }

    #[test]
    fn no_id_is_all_zeros() {
        assert_eq!((SpanId::new([0; 8]), TraceId::parse(&"0".repeat(32))), (None, None));
        assert_eq!(SpanId::made_of([0; 8]).to_string(), "0000000000000001");
        assert_eq!(TraceId::made_of([7; 16]).bytes(), [7; 16]);
        let context = TraceContext::of_run(RunId::from_uuid(uuid::Uuid::nil()));
        assert!(context.parent_id.is_none() && context.trace_id.bytes() != [0; 16]);
    }

    #[test]
    fn what_was_kept_comes_back() {
        let context = TraceContext::read(&format!("00-{TRACE}-{SPAN}-01"), ["a=1"]).unwrap();
        let again = TraceContext::kept(context.trace_id, context.parent_id, context.flags(), context.tracestate());
        assert_eq!(again, context);
    }
}
