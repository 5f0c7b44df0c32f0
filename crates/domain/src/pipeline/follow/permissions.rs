//! The permissions that following an event needs.

use super::super::resource::Location;
use super::{Expectation, Follow, Marked};
use crate::iam::Statement;

impl Follow {
    /// The permissions that following the event needs.
    ///
    /// Source: "Actions, resources, and condition keys" of Kinesis Data Streams, DynamoDB, S3 and CloudWatch Logs,
    /// service authorization reference.
    pub(in super::super) fn iam(&self, location: &Location) -> Vec<Statement> {
        let Location {
            account,
            region,
            partition,
        } = location;
        let table = |name: &str| format!("arn:{partition}:dynamodb:{region}:{account}:table/{name}");
        let mut needs = Vec::new();
        if let Some(put) = &self.put {
            let stream = format!("arn:{partition}:kinesis:{region}:{account}:stream/{}", put.stream);
            needs.push(Statement::new(&["kinesis:PutRecord"], [stream]));
        }
        for (name, _) in &self.prepare {
            let actions = [
                "dynamodb:PutItem",
                "dynamodb:DescribeTable",
                "dynamodb:DeleteItem",
            ];
            needs.push(Statement::new(&actions, [table(name)]));
        }
        for one in &self.expect {
            match &one.place {
                Expectation::Item { table: name, .. } => {
                    let actions = ["dynamodb:Query", "dynamodb:DescribeTable", "dynamodb:DeleteItem"];
                    needs.push(Statement::new(&actions, [table(name)]));
                }
                Expectation::Object { bucket, .. } => {
                    let bucket = format!("arn:{partition}:s3:::{bucket}");
                    let objects = format!("{bucket}/*");
                    needs.push(Statement::new(&["s3:ListBucket"], [bucket]));
                    let actions = ["s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion"];
                    needs.push(Statement::new(&actions, [objects]));
                }
                Expectation::Log { group, .. } => needs.push(Statement::new(
                    &["logs:FilterLogEvents"],
                    [format!(
                        "arn:{partition}:logs:{region}:{account}:log-group:{group}:*"
                    )],
                )),
            }
        }
        for one in &self.clean {
            needs.extend(one.iam(&table, partition));
        }
        needs
    }
}

impl Marked {
    /// `table` is the ARN of a table.
    fn iam(&self, table: &dyn Fn(&str) -> String, partition: &str) -> [Statement; 2] {
        match self {
            Self::Items {
                table: name, index, ..
            } => {
                let table = table(name);
                let queried = match index {
                    Some(index) => format!("{table}/index/{index}"),
                    None => table.clone(),
                };
                let actions = ["dynamodb:DescribeTable", "dynamodb:DeleteItem"];
                [
                    Statement::new(&["dynamodb:Query"], [queried]),
                    Statement::new(&actions, [table]),
                ]
            }
            Self::Objects { bucket, .. } => {
                let bucket = format!("arn:{partition}:s3:::{bucket}");
                let objects = format!("{bucket}/*");
                let actions = ["s3:DeleteObject", "s3:DeleteObjectVersion"];
                [
                    Statement::new(&["s3:ListBucketVersions"], [bucket]),
                    Statement::new(&actions, [objects]),
                ]
            }
        }
    }
}
