//! The services of the local cloud, as help and documentation list them.

/// Display names, in the order of the documentation. A test of the crate `local-cloud` checks that it serves exactly these.
pub const SERVICES: &[&str] = &[
    "Kinesis",
    "Firehose",
    "Lambda",
    "API Gateway",
    "CloudFront",
    "DynamoDB",
    "SQS",
    "SNS",
    "S3",
    "Glue",
    "Athena",
    "CloudWatch",
    "CloudWatch Logs",
    "IAM",
    "STS",
    "KMS",
    "Resource Groups Tagging",
];
