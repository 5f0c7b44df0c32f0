//! Responses of the AWS Query protocol.

use super::Out;
use crate::cloudwatch::error::ApiError;
use crate::query::{self, Xml, response};

const NAMESPACE: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";

pub(super) fn write(operation: &str, out: Option<&Out>, request_id: &str) -> Vec<u8> {
    let result = out.map(|out| |xml: &mut Xml| value(xml, out));
    response(operation, NAMESPACE, request_id, result)
}

pub(super) fn write_error(error: &ApiError, request_id: &str) -> Vec<u8> {
    query::error(
        NAMESPACE,
        error.status(),
        error.code(),
        error.message(),
        request_id,
    )
}

fn value(xml: &mut Xml, out: &Out) {
    match out {
        Out::Text(text) => xml.text(text),
        Out::Number(number) => xml.text(&number.to_string()),
        Out::Whole(number) => xml.text(&number.to_string()),
        Out::Flag(flag) => xml.text(&flag.to_string()),
        Out::Time(ms) => {
            let time = jiff::Timestamp::from_millisecond(*ms).unwrap_or_default();
            xml.text(&time.to_string());
        }
        Out::List(items) => {
            for item in items {
                xml.element("member", |xml| value(xml, item));
            }
        }
        Out::Struct(fields) => {
            for (name, out) in fields {
                xml.element(name, |xml| value(xml, out));
            }
        }
        Out::Map(entries) => {
            for (key, out) in entries {
                xml.element("entry", |xml| {
                    xml.leaf("key", key);
                    xml.element("value", |xml| value(xml, out));
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_become_xml() {
        let out = Out::Struct(vec![
            ("Label", Out::Text("a<b".into())),
            ("Times", Out::List(vec![Out::Time(0), Out::Time(1_500)])),
            ("Map", Out::Map(vec![("k".into(), Out::Flag(true))])),
        ]);
        let xml = String::from_utf8(write("GetMetricData", Some(&out), "1")).unwrap();
        assert_eq!(
            xml,
            "<GetMetricDataResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\"><GetMetricDataResult>\
             <Label>a&lt;b</Label><Times><member>1970-01-01T00:00:00Z</member><member>1970-01-01T00:00:01.5Z</member>\
             </Times><Map><entry><key>k</key><value>true</value></entry></Map></GetMetricDataResult>\
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetMetricDataResponse>"
        );
    }
}
