//! Columns under construction, addressed by leaf, and their assembly into export batches.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::column::{Build, Column};
use crate::schema;

/// Structs that BigQuery writes as `{}`, not as null, when all of their fields are null; and the
/// elements of repeated columns.
const NEVER_NULL: [&str; 6] = [
    "privacy_info",
    "event_params",
    "event_params.value",
    "user_properties",
    "user_properties.value",
    "items",
];

/// Declares an enum of leaves with their dotted paths.
macro_rules! leaves {
    ($($(#[$meta:meta])* $name:ident { $($leaf:ident $path:literal)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        pub(super) enum $name { $($leaf),* }

        impl $name {
            const PATHS: &[&str] = &[$($path),*];
        }

        impl From<$name> for usize {
            fn from(leaf: $name) -> Self {
                leaf as Self
            }
        }
    )*};
}

leaves! {
    /// Leaves with one value a row.
    Row {
        EventDate "event_date"
        EventTimestamp "event_timestamp"
        EventName "event_name"
        EventValueInUsd "event_value_in_usd"
        EventBundleSequenceId "event_bundle_sequence_id"
        UserId "user_id"
        UserPseudoId "user_pseudo_id"
        AnalyticsStorage "privacy_info.analytics_storage"
        AdsStorage "privacy_info.ads_storage"
        UsesTransientToken "privacy_info.uses_transient_token"
        UserFirstTouchTimestamp "user_first_touch_timestamp"
        LtvRevenue "user_ltv.revenue"
        LtvCurrency "user_ltv.currency"
        DeviceCategory "device.category"
        DeviceBrand "device.mobile_brand_name"
        DeviceModel "device.mobile_model_name"
        DeviceSystem "device.operating_system"
        DeviceSystemVersion "device.operating_system_version"
        DeviceLanguage "device.language"
        DeviceLimitedTracking "device.is_limited_ad_tracking"
        WebBrowser "device.web_info.browser"
        WebBrowserVersion "device.web_info.browser_version"
        WebHostname "device.web_info.hostname"
        City "geo.city"
        Country "geo.country"
        Continent "geo.continent"
        Region "geo.region"
        SubContinent "geo.sub_continent"
        FirstName "traffic_source.name"
        FirstMedium "traffic_source.medium"
        FirstSource "traffic_source.source"
        StreamId "stream_id"
        Platform "platform"
        ItemQuantity "ecommerce.total_item_quantity"
        RevenueInUsd "ecommerce.purchase_revenue_in_usd"
        Revenue "ecommerce.purchase_revenue"
        RefundInUsd "ecommerce.refund_value_in_usd"
        Refund "ecommerce.refund_value"
        ShippingInUsd "ecommerce.shipping_value_in_usd"
        Shipping "ecommerce.shipping_value"
        TaxInUsd "ecommerce.tax_value_in_usd"
        Tax "ecommerce.tax_value"
        UniqueItems "ecommerce.unique_items"
        TransactionId "ecommerce.transaction_id"
        CollectedCampaign "collected_traffic_source.manual_campaign_name"
        CollectedSource "collected_traffic_source.manual_source"
        CollectedMedium "collected_traffic_source.manual_medium"
        CollectedGclid "collected_traffic_source.gclid"
        CollectedSrsltid "collected_traffic_source.srsltid"
        IsActiveUser "is_active_user"
        BatchEventIndex "batch_event_index"
        BatchPageId "batch_page_id"
        BatchOrderingId "batch_ordering_id"
        ManualCampaign "session_traffic_source_last_click.manual_campaign.campaign_name"
        ManualSource "session_traffic_source_last_click.manual_campaign.source"
        ManualMedium "session_traffic_source_last_click.manual_campaign.medium"
        AdsCustomer "session_traffic_source_last_click.google_ads_campaign.customer_id"
        AdsAccount "session_traffic_source_last_click.google_ads_campaign.account_name"
        AdsCampaignId "session_traffic_source_last_click.google_ads_campaign.campaign_id"
        AdsCampaign "session_traffic_source_last_click.google_ads_campaign.campaign_name"
        AdsGroup "session_traffic_source_last_click.google_ads_campaign.ad_group_name"
        CrossCampaign "session_traffic_source_last_click.cross_channel_campaign.campaign_name"
        CrossSource "session_traffic_source_last_click.cross_channel_campaign.source"
        CrossMedium "session_traffic_source_last_click.cross_channel_campaign.medium"
        CrossGroup "session_traffic_source_last_click.cross_channel_campaign.default_channel_group"
        CrossPrimary
            "session_traffic_source_last_click.cross_channel_campaign.primary_channel_group"
    }

    /// Leaves of `event_params`.
    Param {
        Key "event_params.key"
        Text "event_params.value.string_value"
        Int "event_params.value.int_value"
        Double "event_params.value.double_value"
    }

    /// Leaves of `user_properties`.
    Property {
        Key "user_properties.key"
        Text "user_properties.value.string_value"
        SetAt "user_properties.value.set_timestamp_micros"
    }

    /// Leaves of `items`.
    Item {
        Id "items.item_id"
        Name "items.item_name"
        Brand "items.item_brand"
        Variant "items.item_variant"
        Category "items.item_category"
        PriceInUsd "items.price_in_usd"
        Price "items.price"
        Quantity "items.quantity"
        RevenueInUsd "items.item_revenue_in_usd"
        Revenue "items.item_revenue"
        RefundInUsd "items.item_refund_in_usd"
        Refund "items.item_refund"
        Coupon "items.coupon"
        ListName "items.item_list_name"
        ListIndex "items.item_list_index"
    }
}

/// Columns of one level: rows, or the elements of one repeated column.
pub(super) struct Level {
    rows: usize,
    columns: Vec<Column>,
}

impl Level {
    fn new(paths: &[&str]) -> Self {
        let column = |path: &&str| Column::new(&leaf_type(path), path);
        Self { rows: 0, columns: paths.iter().map(column).collect() }
    }

    /// Sets a text leaf of the row in the making.
    pub(super) fn text(&mut self, leaf: impl Into<usize>, value: &str) {
        if let Build::Text(builder) = self.leaf(leaf.into()) {
            builder.append_value(value);
        }
    }

    /// Sets a text leaf unless the text is empty.
    pub(super) fn text_unless_empty(&mut self, leaf: impl Into<usize>, value: &str) {
        if !value.is_empty() {
            self.text(leaf, value);
        }
    }

    /// Sets a whole-number leaf of the row in the making.
    pub(super) fn int(&mut self, leaf: impl Into<usize>, value: i64) {
        if let Build::Int(builder) = self.leaf(leaf.into()) {
            builder.append_value(value);
        }
    }

    /// Sets a number leaf of the row in the making.
    pub(super) fn float(&mut self, leaf: impl Into<usize>, value: f64) {
        if let Build::Float(builder) = self.leaf(leaf.into()) {
            builder.append_value(value);
        }
    }

    /// Sets a true-or-false leaf of the row in the making.
    pub(super) fn bool(&mut self, leaf: impl Into<usize>, value: bool) {
        if let Build::Bool(builder) = self.leaf(leaf.into()) {
            builder.append_value(value);
        }
    }

    /// Completes the row; leaves that were not set are null.
    pub(super) fn end_row(&mut self) {
        self.rows += 1;
    }

    fn leaf(&mut self, index: usize) -> &mut Build {
        let column = &mut self.columns[index];
        debug_assert!(column.len() <= self.rows, "{} is set twice", column.path);
        column.fill_to(self.rows);
        &mut column.build
    }

    fn take(&mut self, path: &str) -> Option<Result<ArrayRef, ArrowError>> {
        let rows = self.rows;
        let column = self.columns.iter_mut().find(|column| column.path == path)?;
        column.fill_to(rows);
        Some(column.finish())
    }
}

/// A repeated column: where each row's elements end, and the elements.
pub(super) struct Repeated {
    path: &'static str,
    offsets: Vec<i32>,
    pub(super) elements: Level,
}

impl Repeated {
    fn new(path: &'static str, paths: &[&str]) -> Self {
        Self { path, offsets: vec![0], elements: Level::new(paths) }
    }

    fn end_row(&mut self) {
        self.offsets.push(self.elements.rows as i32);
    }
}

/// One batch under construction.
pub(super) struct Table {
    pub(super) row: Level,
    pub(super) params: Repeated,
    pub(super) properties: Repeated,
    pub(super) items: Repeated,
    schema: SchemaRef,
}

impl Table {
    /// An empty table.
    pub(super) fn new() -> Self {
        Self {
            row: Level::new(Row::PATHS),
            params: Repeated::new("event_params", Param::PATHS),
            properties: Repeated::new("user_properties", Property::PATHS),
            items: Repeated::new("items", Item::PATHS),
            schema: physical_schema(),
        }
    }

    /// Rows completed.
    pub(super) fn rows(&self) -> usize {
        self.row.rows
    }

    /// Completes the row.
    pub(super) fn end_row(&mut self) {
        self.row.end_row();
        self.params.end_row();
        self.properties.end_row();
        self.items.end_row();
    }

    /// The batch of all rows; the table is empty afterwards.
    pub(super) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = self.row.rows;
        let schema = Arc::clone(&self.schema);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push(match self.repeated(field.name()) {
                Some(repeated) => list(field, repeated)?,
                None => nested(field.data_type(), field.name(), &mut self.row, rows)?,
            });
        }
        self.row.rows = 0;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, columns, &options)
    }

    fn repeated(&mut self, name: &str) -> Option<&mut Repeated> {
        let all = [&mut self.params, &mut self.properties, &mut self.items];
        all.into_iter().find(|repeated| repeated.path == name)
    }
}

/// The canonical schema with the nullability that BigQuery writes: repeated fields and their
/// elements are required, all others optional.
pub(super) fn physical_schema() -> SchemaRef {
    Arc::new(Schema::new(physical(schema::events().fields())))
}

fn physical(fields: &Fields) -> Fields {
    let one = |field: &FieldRef| {
        let data_type = match field.data_type() {
            DataType::Struct(fields) => DataType::Struct(physical(fields)),
            DataType::List(element) => {
                let inner =
                    physical(schema::children(element.data_type()).unwrap_or(&Fields::empty()));
                DataType::List(Arc::new(Field::new_struct(schema::LIST_ELEMENT, inner, false)))
            }
            leaf => leaf.clone(),
        };
        let is_repeated = matches!(data_type, DataType::List(_));
        Arc::new(Field::new(field.name(), data_type, !is_repeated))
    };
    fields.iter().map(one).collect()
}

fn leaf_type(path: &str) -> DataType {
    let mut fields = schema::events().fields().clone();
    let mut data_type = DataType::Null;
    for part in path.split('.') {
        let Some((_, field)) = fields.find(part) else { return DataType::Null };
        data_type = field.data_type().clone();
        fields = schema::children(&data_type).cloned().unwrap_or_else(Fields::empty);
    }
    data_type
}

fn list(field: &FieldRef, repeated: &mut Repeated) -> Result<ArrayRef, ArrowError> {
    let DataType::List(element) = field.data_type() else {
        return Err(ArrowError::SchemaError(format!("{} is no list", field.name())));
    };
    let offsets = std::mem::replace(&mut repeated.offsets, vec![0]);
    let rows = repeated.elements.rows;
    let values = nested(element.data_type(), repeated.path, &mut repeated.elements, rows)?;
    repeated.elements.rows = 0;
    let offsets = OffsetBuffer::new(offsets.into());
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, None)?))
}

/// Builds the column at `path` from the leaves of a level; what the level does not have is null.
fn nested(
    data_type: &DataType,
    path: &str,
    level: &mut Level,
    rows: usize,
) -> Result<ArrayRef, ArrowError> {
    match data_type {
        DataType::List(element) => {
            let offsets = OffsetBuffer::new_zeroed(rows);
            let values = new_null_array(element.data_type(), 0);
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, None)?))
        }
        DataType::Struct(fields) => {
            let child = |field: &FieldRef| {
                nested(field.data_type(), &format!("{path}.{}", field.name()), level, rows)
            };
            let columns = fields.iter().map(child).collect::<Result<Vec<_>, _>>()?;
            let nulls = if NEVER_NULL.contains(&path) { None } else { all_null(&columns, rows) };
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows)?))
        }
        leaf => level.take(path).unwrap_or_else(|| Ok(new_null_array(leaf, rows))),
    }
}

/// Null where every column is null.
fn all_null(columns: &[ArrayRef], rows: usize) -> Option<NullBuffer> {
    let mut valid: Option<arrow::buffer::BooleanBuffer> = None;
    for column in columns {
        let bits = match column.nulls() {
            _ if column.null_count() == rows => continue,
            None => return None,
            Some(nulls) => nulls.inner(),
        };
        valid = Some(valid.map_or_else(|| bits.clone(), |valid| &valid | bits));
    }
    Some(valid.map_or_else(|| NullBuffer::new_null(rows), NullBuffer::new))
}
