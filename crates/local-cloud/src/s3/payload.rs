//! The bodies of requests: decoded from the encoding `aws-chunked`, and compared with the digests that the client sent.
//!
//! Data passes as it came; nothing here reads it.
//!
//! Source: "Signature calculations for the Authorization header: Transferring a payload in multiple chunks" and
//! "Including trailing headers", S3 API reference. Signatures of chunks are not verified, like all signatures here.

use bytes::Bytes;
use http::HeaderMap;
use md5::Digest as _;

use super::checksum::{Algorithm, Hasher, encode};
use super::error::{Error, Result};
use super::files::{Files, Written};

/// The longest line before a chunk: a size and a signature.
const MAX_LINE: usize = 1024;
const MAX_TRAILERS: usize = 16;

/// A body without its transfer encoding, and what the client says about it.
#[derive(Debug)]
pub(super) struct Payload {
    pieces: Vec<Bytes>,
    md5: Option<[u8; 16]>,
    /// In hex.
    sha256: Option<String>,
    /// In Base64.
    checksum: Option<(Algorithm, String)>,
    /// The algorithm of a checksum that S3 shall calculate.
    asked: Option<Algorithm>,
}

impl Payload {
    /// # Errors
    /// If the encoding or a digest is malformed.
    pub fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let content_sha256 = text("x-amz-content-sha256").unwrap_or_default();
        let (pieces, trailers) = if is_chunked(headers) {
            let decoded = decode(body)?;
            check_length(text("x-amz-decoded-content-length"), &decoded.0)?;
            decoded
        } else {
            (vec![body.clone()], Vec::new())
        };
        let announced = text("x-amz-trailer").unwrap_or_default();
        for name in announced
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            if !trailers.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name)) {
                return Err(malformed_trailer());
            }
        }
        let is_hash = content_sha256.len() == 64 && content_sha256.bytes().all(|b| b.is_ascii_hexdigit());
        Ok(Self {
            pieces,
            md5: text("content-md5").map(read_md5).transpose()?,
            sha256: is_hash.then(|| content_sha256.to_ascii_lowercase()),
            checksum: sent_checksum(headers, &trailers)?,
            asked: asked_algorithm(text("x-amz-sdk-checksum-algorithm"))?,
        })
    }

    /// The algorithm of the checksum that the client sent or asked for.
    pub fn algorithm(&self) -> Option<Algorithm> {
        let sent = self.checksum.as_ref().map(|(algorithm, _)| *algorithm);
        sent.or(self.asked)
    }

    /// Stores the data in a file.
    ///
    /// # Errors
    /// If it is not what the client's digests say, or cannot be written.
    pub fn store(&self, files: &Files, checksums: &[Algorithm]) -> Result<Written> {
        let mut wanted: Vec<Algorithm> = checksums.to_vec();
        wanted.extend(self.algorithm().filter(|one| !checksums.contains(one)));
        let mut writer = files.create(&wanted)?;
        for piece in &self.pieces {
            writer.write(piece)?;
        }
        let written = writer.finish();
        self.compare(&written.md5, |algorithm| {
            written.checksum(algorithm).map(str::to_owned)
        })?;
        Ok(written)
    }

    /// The data in memory, for requests whose body is a document.
    ///
    /// # Errors
    /// If it is not what the client's digests say.
    pub fn document(&self) -> Result<Bytes> {
        let document = match self.pieces.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            several => several.concat().into(),
        };
        self.compare(&md5::Md5::digest(&document).into(), |algorithm| {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(&document);
            Some(encode(&hasher.finish()))
        })?;
        Ok(document)
    }

    fn compare(&self, md5: &[u8; 16], checksum: impl Fn(Algorithm) -> Option<String>) -> Result<()> {
        if self.md5.is_some_and(|sent| sent != *md5) {
            return Err(Error::new(
                400,
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
            )
            .with("CalculatedDigest", encode(md5)));
        }
        if let Some((algorithm, sent)) = &self.checksum
            && checksum(*algorithm).as_ref() != Some(sent)
        {
            let name = algorithm.as_str();
            return Err(Error::new(
                400,
                "BadDigest",
                format!("The {name} you specified did not match the calculated checksum."),
            ));
        }
        self.compare_sha256()
    }

    fn compare_sha256(&self) -> Result<()> {
        let Some(sent) = &self.sha256 else { return Ok(()) };
        let mut hasher = sha2::Sha256::default();
        self.pieces.iter().for_each(|piece| hasher.update(piece));
        let calculated = hex::encode(hasher.finalize());
        if calculated == *sent {
            return Ok(());
        }
        Err(Error::new(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
        .with("ClientComputedContentSHA256", sent)
        .with("S3ComputedContentSHA256", calculated))
    }
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let is_encoded = text("content-encoding")
        .split(',')
        .any(|coding| coding.trim().eq_ignore_ascii_case("aws-chunked"));
    text("x-amz-content-sha256").starts_with("STREAMING-")
        || (is_encoded && headers.contains_key("x-amz-decoded-content-length"))
}

type Decoded = (Vec<Bytes>, Vec<(String, String)>);

/// The chunks of a body, which share its memory, and its trailers.
fn decode(body: &Bytes) -> Result<Decoded> {
    let mut rest = body.clone();
    let mut chunks = Vec::new();
    loop {
        let line = take_line(&mut rest).ok_or_else(incomplete)?;
        let line = std::str::from_utf8(&line).map_err(|_| malformed_chunk())?;
        let size = line.split(';').next().unwrap_or_default().trim();
        // `from_str_radix` accepts a sign.
        let is_hex = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
        let size = is_hex
            .then(|| usize::from_str_radix(size, 16).ok())
            .flatten()
            .ok_or_else(malformed_chunk)?;
        if size == 0 {
            return Ok((chunks, trailers(&mut rest)?));
        }
        if rest.len() < size {
            return Err(incomplete());
        }
        chunks.push(rest.split_to(size));
        match take_line(&mut rest) {
            Some(line) if line.is_empty() => {}
            Some(_) => return Err(malformed_chunk()),
            None => return Err(incomplete()),
        }
    }
}

/// The bytes up to the next line break, which is removed too.
fn take_line(rest: &mut Bytes) -> Option<Bytes> {
    let searched = &rest[..rest.len().min(MAX_LINE)];
    let end = searched.windows(2).position(|pair| pair == b"\r\n")?;
    let line = rest.split_to(end);
    let _ = rest.split_to(2);
    Some(line)
}

fn trailers(rest: &mut Bytes) -> Result<Vec<(String, String)>> {
    let mut trailers = Vec::new();
    while let Some(line) = take_line(rest) {
        let line = std::str::from_utf8(&line)
            .map_err(|_| malformed_trailer())?
            .trim();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(malformed_trailer)?;
        if trailers.len() == MAX_TRAILERS {
            return Err(malformed_trailer());
        }
        trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(trailers)
}

fn check_length(announced: Option<&str>, chunks: &[Bytes]) -> Result<()> {
    let announced: u64 = announced.and_then(|length| length.parse().ok()).ok_or_else(|| {
        Error::new(
            411,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        )
    })?;
    let sent: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    if announced == sent {
        Ok(())
    } else {
        Err(incomplete())
    }
}

/// The checksum in a header or a trailer.
fn sent_checksum(headers: &HeaderMap, trailers: &[(String, String)]) -> Result<Option<(Algorithm, String)>> {
    let mut found = Vec::new();
    for algorithm in Algorithm::ALL {
        let name = algorithm.header();
        let header = headers.get(name).and_then(|value| value.to_str().ok());
        let trailer = trailers.iter().find(|(sent, _)| sent == name);
        if let Some(value) = header.or(trailer.map(|(_, value)| value.as_str())) {
            if algorithm.decode(value).is_none() {
                return Err(Error::request(format!("Value for {name} header is invalid.")));
            }
            found.push((algorithm, value.to_owned()));
        }
    }
    if found.len() > 1 {
        return Err(Error::request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        ));
    }
    Ok(found.pop())
}

fn asked_algorithm(name: Option<&str>) -> Result<Option<Algorithm>> {
    let Some(name) = name else { return Ok(None) };
    Algorithm::parse(name)
        .map(Some)
        .ok_or_else(|| Error::request("Value for x-amz-sdk-checksum-algorithm header is invalid."))
}

fn read_md5(value: &str) -> Result<[u8; 16]> {
    base64_simd::STANDARD
        .decode_to_vec(value)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            Error::new(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
                .with("Content-MD5", value)
        })
}

fn incomplete() -> Error {
    Error::new(
        400,
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header.",
    )
}

fn malformed_chunk() -> Error {
    Error::request("The body does not have the form of the aws-chunked encoding.")
}

fn malformed_trailer() -> Error {
    Error::new(
        400,
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn read(pairs: &[(&'static str, &str)], body: &str) -> Result<Bytes> {
        Payload::read(&headers(pairs), &Bytes::copy_from_slice(body.as_bytes()))?.document()
    }

    const UNSIGNED: (&str, &str) = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    const SIGNED: (&str, &str) = ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");

    #[test]
    fn chunks_and_trailers_are_read() {
        let trailer = ("x-amz-trailer", "x-amz-checksum-crc32");
        let length = ("x-amz-decoded-content-length", "9");
        let body = "4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
        assert_eq!(read(&[UNSIGNED, length, trailer], body).unwrap(), "123456789");
        let wrong = body.replace("y/Q5", "Y/Q5");
        assert_eq!(
            read(&[UNSIGNED, length, trailer], &wrong).unwrap_err().code,
            "BadDigest"
        );
        let missing = "9\r\n123456789\r\n0\r\n\r\n";
        assert_eq!(
            read(&[UNSIGNED, length, trailer], missing).unwrap_err().code,
            "MalformedTrailerError"
        );
        let signed = format!(
            "9;chunk-signature={0}\r\n123456789\r\n0;chunk-signature={0}\r\n\r\n",
            "a".repeat(64)
        );
        assert_eq!(read(&[SIGNED, length], &signed).unwrap(), "123456789");
        let encoding = ("content-encoding", "gzip, aws-chunked");
        assert_eq!(read(&[encoding, length], missing).unwrap(), "123456789");
    }

    #[test]
    fn what_is_cut_off_or_wrong_is_refused() {
        let length = ("x-amz-decoded-content-length", "3");
        for (body, code) in [
            ("", "IncompleteBody"),
            ("3\r\nab", "IncompleteBody"),
            ("3\r\nabc\r\n", "IncompleteBody"),
            ("2\r\nab\r\n0\r\n\r\n", "IncompleteBody"),
            ("3\r\nabcd\r\n0\r\n\r\n", "InvalidRequest"),
            ("x\r\nabc\r\n0\r\n\r\n", "InvalidRequest"),
            ("+3\r\nabc\r\n0\r\n\r\n", "InvalidRequest"),
            ("ffffffffffffffffff\r\nabc\r\n0\r\n\r\n", "InvalidRequest"),
            ("3\r\nabc\r\n0\r\ntrailer\r\n\r\n", "MalformedTrailerError"),
        ] {
            assert_eq!(
                read(&[UNSIGNED, length], body).unwrap_err().code,
                code,
                "{body:?}"
            );
        }
        assert_eq!(
            read(&[UNSIGNED], "0\r\n\r\n").unwrap_err().code,
            "MissingContentLength"
        );
    }

    #[test]
    fn digests_are_compared() {
        let md5 = ("content-md5", "kAFQmDzST7DWlj99KOF/cg==");
        assert!(read(&[md5], "abc").is_ok());
        assert_eq!(read(&[md5], "abd").unwrap_err().code, "BadDigest");
        assert_eq!(
            read(&[("content-md5", "abc")], "abc").unwrap_err().code,
            "InvalidDigest"
        );
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(read(&[("x-amz-content-sha256", sha)], "abc").is_ok());
        assert_eq!(
            read(&[("x-amz-content-sha256", sha)], "abd").unwrap_err().code,
            "XAmzContentSHA256Mismatch"
        );
        let crc = ("x-amz-checksum-crc32", "NSRBwg==");
        assert!(read(&[crc], "abc").is_ok());
        assert_eq!(read(&[crc], "abd").unwrap_err().code, "BadDigest");
        let short = ("x-amz-checksum-crc32", "NSRB");
        assert_eq!(read(&[short], "abc").unwrap_err().code, "InvalidRequest");
        let two = [crc, ("x-amz-checksum-crc32c", "NkuwtQ==")];
        assert_eq!(read(&two, "abc").unwrap_err().code, "InvalidRequest");
    }

    proptest! {
        #[test]
        fn what_is_chunked_is_decoded(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..8), signed in any::<bool>()) {
            let mut body = Vec::new();
            let signature = if signed { ";chunk-signature=0" } else { "" };
            for chunk in &chunks {
                body.extend(format!("{:x}{signature}\r\n", chunk.len()).into_bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(format!("0{signature}\r\nx-a:b\r\n\r\n").into_bytes());
            let (decoded, trailers) = decode(&body.clone().into()).unwrap();
            prop_assert_eq!(decoded.concat(), chunks.concat());
            prop_assert_eq!(trailers, [("x-a".to_owned(), "b".to_owned())]);
            for end in 0..body.len() {
                // A prefix has less data, or an error; it never has other data.
                if let Ok((decoded, _)) = decode(&Bytes::copy_from_slice(&body[..end])) {
                    prop_assert_eq!(decoded.concat(), chunks.concat());
                }
            }
        }

        #[test]
        fn any_body_is_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "([0-9a-f;]{0,3}\r\n|x|:){0,20}") {
            let _ = decode(&bytes.into());
            let _ = decode(&text.into_bytes().into());
        }
    }
}
