/// What static pages may load and who may frame them: their own host.
pub(super) const STATIC_POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; frame-src 'self'; \
                             frame-ancestors 'self'; base-uri 'self'; form-action 'self'";
