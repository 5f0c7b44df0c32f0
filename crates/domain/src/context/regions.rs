//! The partitions of AWS and their regions.

/// A partition, the second part of an ARN, and its regions.
struct Partition {
    id: &'static str,
    /// How the names of hosts end.
    dns_suffix: &'static str,
    /// As `dns_suffix`, of hosts with IPv4 and IPv6.
    dual_stack_suffix: &'static str,
    /// How the names of its regions begin.
    prefix: &'static str,
    regions: &'static [&'static str],
}

/// Source: `partitions.json` of the AWS SDKs, as in aws-sdk-kinesis 1.130. The SDK keeps its copy private.
static PARTITIONS: &[Partition] = &[
    Partition {
        id: "aws-cn",
        dns_suffix: "amazonaws.com.cn",
        dual_stack_suffix: "api.amazonwebservices.com.cn",
        prefix: "cn-",
        regions: &["cn-north-1", "cn-northwest-1"],
    },
    Partition {
        id: "aws-us-gov",
        dns_suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        prefix: "us-gov-",
        regions: &["us-gov-east-1", "us-gov-west-1"],
    },
    Partition {
        id: "aws-iso",
        dns_suffix: "c2s.ic.gov",
        dual_stack_suffix: "api.aws.ic.gov",
        prefix: "us-iso-",
        regions: &["us-iso-east-1", "us-iso-west-1"],
    },
    Partition {
        id: "aws-iso-b",
        dns_suffix: "sc2s.sgov.gov",
        dual_stack_suffix: "api.aws.scloud",
        prefix: "us-isob-",
        regions: &["us-isob-east-1", "us-isob-west-1"],
    },
    Partition {
        id: "aws-iso-e",
        dns_suffix: "cloud.adc-e.uk",
        dual_stack_suffix: "api.cloud-aws.adc-e.uk",
        prefix: "eu-isoe-",
        regions: &["eu-isoe-west-1"],
    },
    Partition {
        id: "aws-iso-f",
        dns_suffix: "csp.hci.ic.gov",
        dual_stack_suffix: "api.aws.hci.ic.gov",
        prefix: "us-isof-",
        regions: &["us-isof-east-1", "us-isof-south-1"],
    },
    Partition {
        id: "aws-eusc",
        dns_suffix: "amazonaws.eu",
        dual_stack_suffix: "api.amazonwebservices.eu",
        prefix: "eusc-",
        regions: &["eusc-de-east-1"],
    },
    // Last: its regions are those that begin with none of the others.
    Partition {
        id: "aws",
        dns_suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        prefix: "",
        regions: &[
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ],
    },
];

fn of(region: &str) -> Option<&'static Partition> {
    PARTITIONS.iter().find(|one| region.starts_with(one.prefix))
}

/// How the names of AWS's hosts in a region end, such as `amazonaws.com`.
pub(super) fn dns_suffix(region: &str) -> &'static str {
    of(region).map_or("amazonaws.com", |found| found.dns_suffix)
}

/// As [`dns_suffix`], of hosts with IPv4 and IPv6, such as `api.aws`.
pub(super) fn dual_stack_suffix(region: &str) -> &'static str {
    of(region).map_or("api.aws", |found| found.dual_stack_suffix)
}

/// The partition of a region: `aws`, `aws-cn`, `aws-us-gov`, …
pub(super) fn partition(region: &str) -> &'static str {
    of(region).map_or("aws", |found| found.id)
}

/// All regions of the partition of `region`, whether or not the account has enabled them.
pub(super) fn regions(region: &str) -> &'static [&'static str] {
    of(region).map_or(&[], |found| found.regions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_in_the_partition_that_lists_it() {
        for one in PARTITIONS {
            for region in one.regions {
                assert_eq!(partition(region), one.id, "{region}");
                assert!(regions(region).contains(region));
            }
        }
        // A region that is newer than the list.
        assert_eq!(partition("eu-west-9"), "aws");
        assert_eq!(partition("cn-south-1"), "aws-cn");
    }
}
