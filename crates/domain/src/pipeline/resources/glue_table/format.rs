//! The formats of files, and the classes that read and write them.
//! Source: "Choose a SerDe for your data", Amazon Athena user guide.

use serde::Deserialize;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// A line of JSON a row.
    #[default]
    Json,
    Csv,
    Parquet,
}

impl Format {
    pub fn input(self) -> &'static str {
        match self {
            Self::Json | Self::Csv => "org.apache.hadoop.mapred.TextInputFormat",
            Self::Parquet => "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        }
    }

    pub fn output(self) -> &'static str {
        match self {
            Self::Json | Self::Csv => "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            Self::Parquet => "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        }
    }

    pub fn serde(self) -> &'static str {
        match self {
            Self::Json => "org.openx.data.jsonserde.JsonSerDe",
            Self::Csv => "org.apache.hadoop.hive.serde2.OpenCSVSerde",
            Self::Parquet => "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        }
    }

    /// The value of the parameter `classification`.
    pub fn classification(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}
