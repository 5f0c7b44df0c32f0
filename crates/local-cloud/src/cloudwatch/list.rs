//! ListMetrics.

use base64_simd::URL_SAFE_NO_PAD as BASE64;

use super::error::ApiError;
use super::input::Fields;
use super::put;
use super::store::{Metric, MetricName, Store};
use super::wire::Out;
use crate::Caller;

/// Metrics per page. Source: ListMetrics, "Up to 500 results are returned for any one call".
const PAGE: usize = 500;
const RECENT_MS: i64 = 3 * 3_600_000;

pub(super) fn run(store: &Store, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<Out, ApiError> {
    let namespace = put::namespace(input)?;
    let name = input.text("MetricName", 255)?;
    let recent = match input.text("RecentlyActive", 255)? {
        None => false,
        Some("PT3H") => true,
        Some(other) => return Err(input.invalid("RecentlyActive", other)),
    };
    let mut filters = Vec::new();
    for filter in input.list("Dimensions", 10)? {
        filters.push((filter.need_text("Name", 255)?, filter.text("Value", 1024)?));
    }
    let after = input
        .text("NextToken", 65_536)?
        .map(|token| {
            let bytes = BASE64
                .decode_to_vec(token)
                .map_err(|_| input.invalid("NextToken", token))?;
            String::from_utf8(bytes).map_err(|_| input.invalid("NextToken", token))
        })
        .transpose()?;
    let wanted = |metric: &Metric| {
        let id = &metric.name;
        namespace.is_none_or(|wanted| wanted == id.namespace)
            && name.is_none_or(|wanted| wanted == id.name)
            && (!recent || metric.published_ms >= now_ms - RECENT_MS)
            && metric.has_data()
            && filters.iter().all(|(name, value)| {
                id.dimensions
                    .iter()
                    .any(|(n, v)| n == name && value.is_none_or(|value| value == v))
            })
    };
    let mut found = store
        .list(caller, after.as_deref())
        .filter(|(_, metric)| wanted(metric));
    let page: Vec<_> = found.by_ref().take(PAGE).collect();
    let mut out = vec![(
        "Metrics",
        Out::List(page.iter().map(|(_, metric)| describe(&metric.name)).collect()),
    )];
    if let (Some(_), Some((last, _))) = (found.next(), page.last()) {
        out.push(("NextToken", Out::Text(BASE64.encode_to_string(last))));
    }
    Ok(Out::Struct(out))
}

fn describe(name: &MetricName) -> Out {
    let dimensions = name.dimensions.iter().map(|(name, value)| {
        Out::Struct(vec![
            ("Name", Out::Text(name.clone())),
            ("Value", Out::Text(value.clone())),
        ])
    });
    Out::Struct(vec![
        ("Namespace", Out::Text(name.namespace.clone())),
        ("MetricName", Out::Text(name.name.clone())),
        ("Dimensions", Out::List(dimensions.collect())),
    ])
}
