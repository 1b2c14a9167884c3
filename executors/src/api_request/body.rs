//! The body that goes out.
//!
//! Invariant: at most one kind of body is given, and its media type is known.

use bytes::{BufMut, Bytes, BytesMut};
use domain::Failure;
use engine::Call;
use sha2::{Digest, Sha256};

use super::Config;
use crate::config::{self, flow_fault};

pub(crate) struct Body {
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

impl Body {
    fn new(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        Self { media_type: media_type.to_owned(), bytes: bytes.into() }
    }
}

pub(super) async fn read(call: &Call, config: &Config) -> Result<Option<Body>, Failure> {
    let given = [config.json.is_some(), config.body.is_some(), config.form.is_some() || config.file.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(flow_fault(
            "config_invalid",
            "Give one of `json`, `form`, `body` and `file` (or `form` with `file`).",
        ));
    }
    if let Some(json) = &config.json {
        return Ok(Some(Body::new("application/json", json.to_string())));
    }
    if let Some(text) = &config.body {
        return Ok(Some(Body::new("text/plain; charset=utf-8", text.clone())));
    }
    let fields = config
        .form
        .iter()
        .flatten()
        .flat_map(|(name, values)| values.texts().into_iter().map(move |value| (name.as_str(), value)));
    let fields: Vec<(&str, String)> = fields.collect();
    let Some(file) = &config.file else {
        let encode = || url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        return Ok(config.form.is_some().then(|| Body::new("application/x-www-form-urlencoded", encode())));
    };
    let file = config::file(file, "file")?;
    let bytes = call.blobs.get_file(&file).await.map_err(|error| config::storage_fault(&error))?;
    if config.form.is_none() {
        return Ok(Some(Body::new(&file.media_type, bytes)));
    }
    Ok(Some(multipart(&call.key, &fields, (&file.name, &file.media_type, &bytes))))
}

/// `multipart/form-data`, the file last and named `file`. The boundary comes from the content, so that every attempt sends
/// the same bytes and no part can hold it by accident.
fn multipart(key: &str, fields: &[(&str, String)], (name, media_type, bytes): (&str, &str, &Bytes)) -> Body {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(bytes);
    let boundary = format!("weir-{}", &hex::encode(hash.finalize())[..40]);
    let mut body = BytesMut::with_capacity(bytes.len() + 1024);
    for (field, value) in fields {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n", quoted(field));
        body.put_slice(head.as_bytes());
        body.put_slice(value.as_bytes());
        body.put_slice(b"\r\n");
    }
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\nContent-Type: {}\r\n\r\n",
        quoted(name),
        media_type.replace(['\r', '\n'], ""),
    );
    body.put_slice(head.as_bytes());
    body.put_slice(bytes);
    body.put_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Body { media_type: format!("multipart/form-data; boundary={boundary}"), bytes: body.freeze() }
}

/// Escapes a name as the HTML standard does, so that it cannot end its quotes or its line.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_cannot_be_broken_out_of_by_its_name() {
        let body =
            multipart("key", &[("a\"\r\nX: y", "1".into())], ("f.txt", "text/plain", &Bytes::from_static(b"hi")));
        let text = String::from_utf8(body.bytes.to_vec()).unwrap();
        assert!(text.contains("name=\"a%22%0D%0AX: y\"\r\n\r\n1\r\n"), "{text}");
        let boundary = body.media_type.split_once("boundary=").unwrap().1;
        assert_eq!(text.matches(boundary).count(), 3);
    }
}
