//! `registrable_domain(host)`: the part of a host that somebody registered [2.8].

use std::sync::Arc;

use arrow::array::{Array, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::url::strings;

/// Labels that are general where a country follows, as in `co.uk`.
const GENERAL: [&str; 12] =
    ["ac", "co", "com", "edu", "gob", "gov", "mil", "ne", "net", "nom", "or", "org"];

/// The last two labels of a host, or three where the last but one is general and the last a country; any other text, such as an
/// address of numbers, is its own domain. Null host: null.
///
/// Other engines say it by a regular expression, which `regexp_replace` would compile anew for each batch.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct RegistrableDomain {
    signature: Signature,
}

impl RegistrableDomain {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for RegistrableDomain {
    fn name(&self) -> &str {
        "registrable_domain"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let hosts = strings(&args, 0)?;
        let mut builder = StringViewBuilder::with_capacity(hosts.len());
        for host in &hosts {
            builder.append_option(host.map(registrable));
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

/// See [`RegistrableDomain`].
fn registrable(host: &str) -> &str {
    let label_before = |end: usize| host[..end].rfind('.').map_or(0, |dot| dot + 1);
    let Some(dot) = host.rfind('.') else { return host };
    let (second, top) = (label_before(dot), &host[dot + 1..]);
    if second == dot || !is_name(top) {
        return host;
    }
    let is_country = top.len() == 2 && top.bytes().all(|byte| byte.is_ascii_lowercase());
    let mut start = second;
    if is_country && second > 0 && GENERAL.contains(&&host[second..dot]) {
        let third = label_before(second - 1);
        start = if third < second - 1 { third } else { second };
    }
    // The `.` of regular expressions is no line end.
    if host[..start].contains('\n') { host } else { &host[start..] }
}

fn is_name(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    label.starts_with(|first: char| first.is_ascii_lowercase()) && label.bytes().all(is_inner)
}
