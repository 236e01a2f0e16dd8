//! Functions on page addresses: campaign parameters and hosts.
//!
//! Hand-scanned instead of parsed by `url`: real `page_location` values are cut off, double-encoded or not
//! URLs at all, and a parser that refuses them would lose the campaign that stands in them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, StringViewArray, StringViewBuilder, StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// The parameters that say how a visitor came, in the order of the struct's fields.
pub(super) const URL_PARAMS: [&str; 14] = [
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_id",
    "utm_term",
    "utm_content",
    "gclid",
    "gbraid",
    "wbraid",
    "gclsrc",
    "dclid",
    "msclkid",
    "srsltid",
    "fbclid",
];

fn url_fields() -> Fields {
    URL_PARAMS.iter().map(|name| Field::new(*name, DataType::Utf8View, true)).collect()
}

/// An argument as strings.
pub(super) fn strings(args: &ScalarFunctionArgs, index: usize) -> Result<StringViewArray> {
    let array = args.args[index].to_array(args.number_rows)?;
    Ok(cast(&array, &DataType::Utf8View)?.as_string_view().clone())
}

/// `ga4_url_params(page_location)`: campaign parameters and click ids of an address, decoded; the last
/// value of a repeated key wins [2.10]; absent or empty ones are null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Ga4UrlParams {
    signature: Signature,
}

impl Ga4UrlParams {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Ga4UrlParams {
    fn name(&self) -> &str {
        "ga4_url_params"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(url_fields()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let urls = strings(&args, 0)?;
        let mut builders: Vec<StringViewBuilder> =
            URL_PARAMS.iter().map(|_| StringViewBuilder::with_capacity(urls.len())).collect();
        for row in 0..urls.len() {
            let mut found: [Option<Cow<'_, str>>; URL_PARAMS.len()] = Default::default();
            if urls.is_valid(row) {
                scan(urls.value(row), &mut found);
            }
            for (builder, value) in builders.iter_mut().zip(&found) {
                builder.append_option(value.as_deref().filter(|value| !value.is_empty()));
            }
        }
        let columns =
            builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(url_fields(), columns, None)?)))
    }
}

fn scan<'a>(url: &'a str, found: &mut [Option<Cow<'a, str>>; URL_PARAMS.len()]) {
    let Some((_, query)) = url.split_once('?') else { return };
    // A router that keeps its query behind the fragment (`/#/page?utm_source=…`) still carries the campaign.
    for pair in query.split(['&', '#', '?']) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !(5..=12).contains(&key.len()) {
            continue;
        }
        if let Some(index) = URL_PARAMS.iter().position(|name| name.eq_ignore_ascii_case(key)) {
            found[index] = Some(decode(value));
        }
    }
}

/// Percent-decodes once, `+` as space. A value that is not UTF-8 then stays as it was sent, which
/// the SQL of other engines can say too.
fn decode(value: &str) -> Cow<'_, str> {
    if !value.contains(['%', '+']) {
        return Cow::Borrowed(value);
    }
    let bytes = value.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => decoded.push(b' '),
            b'%' => match bytes.get(at + 1..at + 3).and_then(hex_byte) {
                Some(byte) => {
                    decoded.push(byte);
                    at += 2;
                }
                None => decoded.push(b'%'),
            },
            byte => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(value), Cow::Owned)
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let high = char::from(digits[0]).to_digit(16)?;
    let low = char::from(digits[1]).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// `url_host(url)`: the lower-case host without port, user and leading `www.`; null when not http(s).
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct UrlHost {
    signature: Signature,
}

impl UrlHost {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

/// See [`UrlHost`].
pub(super) fn host(url: &str) -> Option<Cow<'_, str>> {
    let scheme_end = url.find("://")?;
    let scheme = &url[..scheme_end];
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return None;
    }
    let rest = &url[scheme_end + 3..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let name = match address.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => address,
    };
    let name = match name.get(..4) {
        Some(start) if start.eq_ignore_ascii_case("www.") => &name[4..],
        _ => name,
    };
    match name {
        "" => None,
        name if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Some(Cow::Owned(name.to_ascii_lowercase()))
        }
        name => Some(Cow::Borrowed(name)),
    }
}

impl ScalarUDFImpl for UrlHost {
    fn name(&self) -> &str {
        "url_host"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let urls = strings(&args, 0)?;
        let mut builder = StringViewBuilder::with_capacity(urls.len());
        for url in &urls {
            builder.append_option(url.and_then(host));
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

/// `host_matches(host, 'a.com,b.com')`: whether the host equals an entry or is a subdomain of one;
/// never by substring [2.8]. Null host: null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct HostMatches {
    signature: Signature,
}

impl HostMatches {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

/// Whether `host` is `domain` or lies below it.
pub(super) fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|left| left.is_empty() || left.ends_with('.'))
}

impl ScalarUDFImpl for HostMatches {
    fn name(&self) -> &str {
        "host_matches"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let hosts = strings(&args, 0)?;
        let entries = match &args.args[1] {
            ColumnarValue::Scalar(value) => {
                value.try_as_str().flatten().unwrap_or_default().to_ascii_lowercase()
            }
            ColumnarValue::Array(_) => {
                // The second argument may be a column, as in own-host checks: compare row by row.
                let domains = strings(&args, 1)?;
                let mut builder = BooleanBuilder::with_capacity(hosts.len());
                for (host, domain) in hosts.iter().zip(&domains) {
                    builder.append_option(
                        host.zip(domain).map(|(host, domain)| is_within(host, domain)),
                    );
                }
                return Ok(ColumnarValue::Array(Arc::new(builder.finish())));
            }
        };
        let entries: Vec<&str> =
            entries.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
        if entries.len() > 10_000 {
            return exec_err!("host_matches: {} entries; at most 10000", entries.len());
        }
        let mut builder = BooleanBuilder::with_capacity(hosts.len());
        for host in &hosts {
            builder
                .append_option(host.map(|host| entries.iter().any(|entry| is_within(host, entry))));
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(url: &str) -> Vec<(&'static str, String)> {
        let mut found = Default::default();
        scan(url, &mut found);
        URL_PARAMS
            .iter()
            .zip(found)
            .filter_map(|(name, value)| Some((*name, value?.into_owned())))
            .collect()
    }

    #[test]
    fn last_value_wins_and_values_are_decoded_once() {
        let found = params(
            "https://a.b/?utm_source=x&UTM_Source=news%20letter&utm_campaign=50%2525+off#top",
        );
        assert_eq!(
            found,
            [("utm_source", "news letter".to_owned()), ("utm_campaign", "50%25 off".to_owned())]
        );
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(decode("50%"), "50%");
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode("%ff+x"), "%ff+x");
    }

    #[test]
    fn hosts_lose_port_user_and_www_only() {
        assert_eq!(host("https://WWW.Example.com:8080/a?b").as_deref(), Some("example.com"));
        assert_eq!(host("http://me@shop.example.com?x").as_deref(), Some("shop.example.com"));
        assert_eq!(host("android-app://com.google").as_deref(), None);
        assert_eq!(host("https://").as_deref(), None);
    }

    #[test]
    fn domains_match_by_suffix_never_by_substring() {
        assert!(is_within("checkout.stripe.com", "stripe.com"));
        assert!(!is_within("notstripe.com", "stripe.com"));
        assert!(!is_within("stripe.com.evil.org", "stripe.com"));
    }
}
