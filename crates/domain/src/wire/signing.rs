//! Signatures and credentials, as in the clients of the SDK: credentials are kept until they expire, each attempt is signed
//! anew, and by the clock of the service if that of this machine is wrong.

use aws_config::{Region, SdkConfig};
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions};
use aws_runtime::service_clock_skew::ServiceClockSkewInterceptor;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{AuthSchemeOptionResolverParams, SharedAuthScheme};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_types::config_bag::Layer;
use aws_types::SigningName;

/// What signs the requests of an operation. `name` is that of the service in signatures.
pub(crate) fn signer(
    config: &SdkConfig,
    name: &'static str,
    region: Option<Region>,
) -> (Layer, RuntimeComponentsBuilder) {
    let mut options = SigningOptions::default();
    options.double_uri_encode = true;
    options.normalize_uri_path = true;
    let mut layer = Layer::new("Signing");
    layer.store_put(SigV4OperationSigningConfig {
        signing_options: options,
        region: region.map(Into::into),
        name: Some(SigningName::from_static(name)),
        ..Default::default()
    });
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    let mut components = RuntimeComponentsBuilder::new("Signing")
        .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])))
        .with_identity_cache(config.identity_cache())
        .with_interceptor(SharedInterceptor::new(ServiceClockSkewInterceptor::new()));
    if let Some(provider) = config.credentials_provider() {
        components.set_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(provider));
    }
    (layer, components)
}
