//! What is declared, in the types of the SDK, and what is described, as facts.

use aws_sdk_firehose::types as sdk;

use super::super::common::built;
use super::{Declared, Facts, Hose, LOG_STREAM};
use ground::error::Result;

/// How `Delimiter` writes a line feed: the value of a parameter cannot be white space only.
const LINE_FEED: &str = "\\n";

pub(super) fn parameter(name: sdk::ProcessorParameterName, value: &str) -> Result<sdk::ProcessorParameter> {
    built(
        sdk::ProcessorParameter::builder()
            .parameter_name(name)
            .parameter_value(value)
            .build(),
    )
}

impl Hose<'_> {
    pub(super) fn source(&self) -> Result<Option<sdk::KinesisStreamSourceConfiguration>> {
        let Declared { stream, role, .. } = &self.declared;
        let Some(stream) = stream else { return Ok(None) };
        let source = sdk::KinesisStreamSourceConfiguration::builder()
            .kinesis_stream_arn(stream)
            .role_arn(role)
            .build();
        built(source).map(Some)
    }

    /// The processors: ours as declared or, where they are not declared, as they are; those of others stay.
    pub(super) fn processing(
        &self,
        there: Option<&sdk::ProcessingConfiguration>,
    ) -> Result<sdk::ProcessingConfiguration> {
        let declared = &self.declared;
        let is_on = there.is_some_and(|there| there.enabled() == Some(true));
        let there = there
            .filter(|_| is_on)
            .map_or(&[][..], sdk::ProcessingConfiguration::processors);
        let mut all: Vec<sdk::Processor> = Vec::new();
        for processor in there {
            let is_replaced = match processor.r#type() {
                sdk::ProcessorType::AppendDelimiterToRecord => declared.newline.is_some(),
                sdk::ProcessorType::Lambda => declared.transform.is_some(),
                sdk::ProcessorType::MetadataExtraction => declared.partition_keys.is_some(),
                sdk::ProcessorType::RecordDeAggregation => declared.deaggregate.is_some(),
                _ => false,
            };
            if !is_replaced {
                all.push(processor.clone());
            }
        }
        let (deaggregation, extraction) = self.partition_processors()?;
        all.extend(deaggregation);
        if let Some(function) = declared.transform.as_deref().filter(|arn| !arn.is_empty()) {
            let processor = sdk::Processor::builder()
                .r#type(sdk::ProcessorType::Lambda)
                .parameters(parameter(sdk::ProcessorParameterName::LambdaArn, function)?)
                .build();
            all.push(built(processor)?);
        }
        all.extend(extraction);
        if declared.newline == Some(true) {
            let delimiter = parameter(sdk::ProcessorParameterName::Delimiter, LINE_FEED)?;
            let processor = sdk::Processor::builder()
                .r#type(sdk::ProcessorType::AppendDelimiterToRecord)
                .parameters(delimiter)
                .build();
            all.push(built(processor)?);
        }
        let configuration = sdk::ProcessingConfiguration::builder().enabled(!all.is_empty());
        Ok(configuration.set_processors(Some(all)).build())
    }

    pub(super) fn hints(&self, there: Option<&Facts>) -> sdk::BufferingHints {
        let (mb, seconds) = self.buffer(there);
        let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        sdk::BufferingHints::builder()
            .size_in_mbs(number(mb))
            .interval_in_seconds(number(seconds))
            .build()
    }

    pub(super) fn logging(&self) -> Option<sdk::CloudWatchLoggingOptions> {
        let group = self.declared.log_group.as_deref()?;
        let options = sdk::CloudWatchLoggingOptions::builder().enabled(!group.is_empty());
        Some(match group {
            "" => options.build(),
            group => options.log_group_name(group).log_stream_name(LOG_STREAM).build(),
        })
    }

    pub(super) fn object_encryption(&self) -> Result<Option<sdk::EncryptionConfiguration>> {
        let Some(key) = self.declared.kms_key.as_deref() else {
            return Ok(None);
        };
        let configuration = sdk::EncryptionConfiguration::builder();
        Ok(Some(match key {
            "" => configuration
                .no_encryption_config(sdk::NoEncryptionConfig::NoEncryption)
                .build(),
            key => {
                let key = built(sdk::KmsEncryptionConfig::builder().awskms_key_arn(key).build())?;
                configuration.kms_encryption_config(key).build()
            }
        }))
    }

    pub(super) fn format(&self) -> Option<sdk::CompressionFormat> {
        let compression = self.declared.compression?;
        Some(sdk::CompressionFormat::from(compression.format()))
    }

    pub(super) fn destination(&self) -> Result<sdk::ExtendedS3DestinationConfiguration> {
        let declared = &self.declared;
        let processing = declared.newline.is_some() || declared.transform.is_some() || self.is_partitioned();
        let processing = match processing {
            true => Some(self.processing(None)?),
            false => None,
        };
        built(
            sdk::ExtendedS3DestinationConfiguration::builder()
                .role_arn(&declared.role)
                .bucket_arn(self.bucket_arn())
                .set_prefix(declared.prefix.clone())
                .set_error_output_prefix(declared.error_prefix.clone())
                .buffering_hints(self.hints(None))
                .set_compression_format(self.format())
                .set_encryption_configuration(self.object_encryption()?)
                .set_cloud_watch_logging_options(self.logging())
                .set_processing_configuration(processing)
                .set_dynamic_partitioning_configuration(self.partitioning(None))
                .set_file_extension(declared.file_extension.clone())
                .set_custom_time_zone(declared.time_zone.clone())
                .build(),
        )
    }
}

/// The destination of a description.
pub(super) fn destination_of(
    description: &sdk::DeliveryStreamDescription,
) -> Option<&sdk::ExtendedS3DestinationDescription> {
    let mut destinations = description.destinations().iter();
    destinations.find_map(|one| one.extended_s3_destination_description())
}

pub(super) fn number(value: Option<i32>, default: u32) -> u32 {
    value
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(default)
}

pub(super) fn facts(description: &sdk::DeliveryStreamDescription) -> Facts {
    let source = description
        .source()
        .and_then(|source| source.kinesis_stream_source_description());
    let failure = description.failure_description();
    let mut facts = Facts {
        arn: description.delivery_stream_arn().to_owned(),
        status: description.delivery_stream_status().as_str().to_owned(),
        failure: failure.map(|failure| failure.details().to_owned()),
        stream: source
            .and_then(|source| source.kinesis_stream_arn())
            .map(str::to_owned),
        ..Facts::default()
    };
    let Some(s3) = destination_of(description) else {
        return facts;
    };
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let hints = s3.buffering_hints();
    s3.role_arn().clone_into(&mut facts.role);
    s3.bucket_arn().clone_into(&mut facts.bucket_arn);
    facts.prefix = text(s3.prefix());
    facts.error_prefix = text(s3.error_output_prefix());
    facts.buffer_mb = number(hints.and_then(|hints| hints.size_in_mbs()), super::BUFFER_MB);
    facts.buffer_seconds = number(
        hints.and_then(|hints| hints.interval_in_seconds()),
        super::BUFFER_SECONDS,
    );
    s3.compression_format()
        .as_str()
        .clone_into(&mut facts.compression);
    facts.file_extension = text(s3.file_extension());
    facts.time_zone = text(s3.custom_time_zone());
    let key = s3
        .encryption_configuration()
        .and_then(|one| one.kms_encryption_config());
    facts.kms_key = key.map(|key| key.awskms_key_arn().to_owned());
    let logging = s3
        .cloud_watch_logging_options()
        .filter(|one| one.enabled() == Some(true));
    facts.log_group = logging.and_then(|one| one.log_group_name()).map(str::to_owned);
    processors(s3, &mut facts);
    super::partitioning::observe(s3, &mut facts);
    facts
}

fn processors(s3: &sdk::ExtendedS3DestinationDescription, facts: &mut Facts) {
    let processing = s3
        .processing_configuration()
        .filter(|one| one.enabled() == Some(true));
    for processor in processing.map_or(&[][..], |one| one.processors()) {
        match processor.r#type() {
            sdk::ProcessorType::AppendDelimiterToRecord => facts.newline = true,
            sdk::ProcessorType::Lambda => {
                facts.transform = value_of(processor, &sdk::ProcessorParameterName::LambdaArn);
            }
            sdk::ProcessorType::MetadataExtraction => {
                facts.query = value_of(processor, &sdk::ProcessorParameterName::MetadataExtractionQuery);
            }
            sdk::ProcessorType::RecordDeAggregation => {
                facts.deaggregate = value_of(processor, &sdk::ProcessorParameterName::SubRecordType);
            }
            _ => {}
        }
    }
}

fn value_of(processor: &sdk::Processor, name: &sdk::ProcessorParameterName) -> Option<String> {
    let mut parameters = processor.parameters().iter();
    let found = parameters.find(|one| one.parameter_name() == name);
    found.map(|one| one.parameter_value().to_owned())
}
