/// Display names of the services of the local cloud, in the order of help and documentation. A test of the crate
/// `local-cloud` checks that it serves exactly these.
pub const SERVICES: &[&str] = &[
    "Kinesis",
    "Lambda",
    "DynamoDB",
    "SQS",
    "SNS",
    "S3",
    "CloudWatch",
    "CloudWatch Logs",
    "IAM",
    "STS",
    "KMS",
    "Resource Groups Tagging",
];
