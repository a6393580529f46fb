use std::future::Future;
use std::time::Duration;

use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, CertificateIdentifier,
    ChallengeStatus, ChallengeType, Error, ExternalAccountKey, Identifier, Key, NewAccount,
    NewOrder, Order, OrderStatus, RevocationRequest,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::acme::{Acme, AcmeAccount, AcmeError, HttpChallenge, RenewalWindow, Serve};
use super::acme_error::{explained, failed, is_bad_nonce, is_malformed, silent};

/// A whole conversation: authorities that take longer have lost us.
const LIMIT: Duration = Duration::from_secs(150);

/// A question outside an order.
const SHORT_LIMIT: Duration = Duration::from_secs(30);

/// How often an authority may say that it does not know the nonce that it gave.
const NONCE_TRIES: u32 = 12;

/// How often it may refuse to be told of a proof: what it looked at meanwhile, it says the next time.
const TOLD_TWICE: u32 = 3;

/// Between two looks at an order: the authority's checks take seconds.
const PACE: Duration = Duration::from_secs(1);

/// The authorities themselves.
pub struct RealAcme;

impl Acme for RealAcme {
    fn bind(&self, account: &AcmeAccount, kid: &str, hmac_key: &[u8]) -> Result<String, AcmeError> {
        block_on(account, SHORT_LIMIT, async {
            let contact = contact(account);
            let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
            let asked = NewAccount {
                contact: &contact,
                terms_of_service_agreed: true,
                only_return_existing: false,
            };
            let key = ExternalAccountKey::new(kid.to_owned(), hmac_key);
            let (_, credentials) = patiently(async || {
                builder(account)?
                    .create(&asked, account.directory.clone(), Some(&key))
                    .await
            })
            .await?;
            Ok(serde_json::to_string(&credentials)?)
        })
    }

    fn order(
        &self,
        account: &AcmeAccount,
        names: &[String],
        request: &[u8],
        replaces: Option<&[u8]>,
        serve: &mut Serve<'_>,
    ) -> Result<String, AcmeError> {
        // A proof that cannot be served is our fault, and has its own words.
        let mut unserved = None;
        let chain = block_on(account, LIMIT, async {
            let client = client(account).await?;
            let mut order = begin(&client, names, replaces).await?;
            let mut serve = |challenge: &HttpChallenge| {
                serve(challenge).map_err(|error| {
                    unserved = Some(error.to_string());
                    Error::Str("a proof cannot be served")
                })
            };
            prove(&mut order, &mut serve).await?;
            settle(&mut order).await?;
            // A lost answer leaves an order that goes on by itself.
            if order.state().status == OrderStatus::Ready {
                patiently(async || order.finalize_csr(request).await).await?;
            }
            download(&mut order).await
        });
        match unserved {
            Some(what) => Err(AcmeError {
                what: format!("a proof cannot be served: {what}"),
                help: "mend that, then `sudo tavernctl cert renew`".to_owned(),
                retry_after: None,
            }),
            None => chain,
        }
    }

    fn renewal(
        &self,
        account: &AcmeAccount,
        certificate: &[u8],
    ) -> Result<Option<RenewalWindow>, AcmeError> {
        block_on(account, SHORT_LIMIT, async {
            let client = client(account).await?;
            let der = CertificateDer::from(certificate);
            let Ok(id) = CertificateIdentifier::try_from(&der) else {
                return Ok(None);
            };
            match client.renewal_info(&id).await {
                Ok((info, ask_again)) => Ok(Some(RenewalWindow {
                    start: info.suggested_window.start,
                    end: info.suggested_window.end,
                    ask_again,
                })),
                Err(Error::Unsupported(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn revoke(&self, account: &AcmeAccount, certificate: &[u8]) -> Result<(), AcmeError> {
        block_on(account, SHORT_LIMIT, async {
            let client = client(account).await?;
            let der = CertificateDer::from(certificate);
            let asked = RevocationRequest {
                certificate: &der,
                reason: None,
            };
            match patiently(async || client.revoke(&asked).await).await {
                // Somebody was faster: it is what was wanted.
                Err(Error::Api(problem))
                    if problem.r#type.as_deref()
                        == Some("urn:ietf:params:acme:error:alreadyRevoked") =>
                {
                    Ok(())
                }
                other => other,
            }
        })
    }
}

fn block_on<T>(
    account: &AcmeAccount,
    limit: Duration,
    talk: impl Future<Output = Result<T, Error>>,
) -> Result<T, AcmeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(account, &error.to_string()))?;
    match runtime.block_on(async { tokio::time::timeout(limit, talk).await }) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(explained(account, &error)),
        Err(_) => Err(silent(account, limit)),
    }
}

/// Again while the authority only complains of the nonce: it rejected the request, and did nothing.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 1;
    loop {
        match ask().await {
            Err(error) if is_bad_nonce(&error) && tries < NONCE_TRIES => tries += 1,
            other => return other,
        }
    }
}

fn builder(account: &AcmeAccount) -> Result<AccountBuilder, Error> {
    match &account.ca_file {
        Some(root) => Account::builder_with_root(root),
        None => Account::builder(),
    }
}

fn contact(account: &AcmeAccount) -> Vec<String> {
    let addresses = account.email.iter();
    addresses.map(|email| format!("mailto:{email}")).collect()
}

/// The account: the authority finds it by its key, or makes it. Asking twice makes no second one.
async fn client(account: &AcmeAccount) -> Result<Account, Error> {
    if account.secret.starts_with('{') {
        return patiently(async || {
            let credentials: AccountCredentials = serde_json::from_str(&account.secret)?;
            builder(account)?.from_credentials(credentials).await
        })
        .await;
    }
    let client = patiently(async || {
        let key = PrivatePkcs8KeyDer::from_pem_slice(account.secret.as_bytes())
            .map_err(|_| Error::KeyRejected)?;
        let pair = (
            Key::from_pkcs8_der(key.clone_key())?,
            PrivateKeyDer::Pkcs8(key),
        );
        let (client, _) = builder(account)?
            .create_from_key(pair, account.directory.clone())
            .await?;
        Ok(client)
    })
    .await?;
    let contact = contact(account);
    if !contact.is_empty() {
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        patiently(async || client.update_contacts(&contact).await).await?;
    }
    Ok(client)
}

async fn begin(
    client: &Account,
    names: &[String],
    replaces: Option<&[u8]>,
) -> Result<Order, Error> {
    let names: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let der = replaces.map(CertificateDer::from);
    let old = der
        .as_ref()
        .and_then(|der| CertificateIdentifier::try_from(der).ok());
    if let Some(old) = old {
        let asked = NewOrder::new(&names).replaces(old);
        match patiently(async || client.new_order(&asked).await).await {
            Ok(order) => return Ok(order),
            // Another account's, or replaced already, or unknown there: a plain order will do.
            Err(Error::Api(problem)) if !is_limit(problem.r#type.as_deref()) => {}
            Err(Error::Unsupported(_) | Error::Other(_)) => {}
            Err(error) => return Err(error),
        }
    }
    patiently(async || client.new_order(&NewOrder::new(&names)).await).await
}

fn is_limit(kind: Option<&str>) -> bool {
    kind == Some("urn:ietf:params:acme:error:rateLimited")
}

/// Shows the proof of each name that is not proven yet, and says that it is there.
async fn prove(
    order: &mut Order,
    serve: &mut impl FnMut(&HttpChallenge) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut told_twice, mut is_known) = (0, false);
    loop {
        let proven = prove_all(order, serve, is_known).await;
        is_known = true;
        match proven {
            // It begins anew; what is ready stays so.
            Err(error) if is_bad_nonce(&error) => {}
            // It was told of a proof that it looked at meanwhile, and says so of the name a little later.
            Err(error) if is_malformed(&error) && told_twice < TOLD_TWICE => {
                told_twice += 1;
                tokio::time::sleep(PACE).await;
            }
            other => return other,
        }
    }
}

async fn prove_all(
    order: &mut Order,
    serve: &mut impl FnMut(&HttpChallenge) -> Result<(), Error>,
    is_known: bool,
) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // An order keeps what it was told first: of a proof that was looked at since, it would tell again for ever.
        if is_known {
            patiently(async || authorization.refresh().await.map(|_| ())).await?;
        }
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
            return Err(Error::Unsupported("HTTP-01 for this name"));
        };
        serve(&HttpChallenge {
            name,
            token: challenge.token.clone(),
            answer: challenge.key_authorization().as_str().to_owned(),
        })?;
        // It says so of a proof before it says it of the name, and refuses to be told again.
        if challenge.status != ChallengeStatus::Pending {
            continue;
        }
        patiently(async || challenge.set_ready().await).await?;
    }
    Ok(())
}

/// Waits until the authority has looked at all proofs.
async fn settle(order: &mut Order) -> Result<(), Error> {
    loop {
        let status = patiently(async || Ok(order.refresh().await?.status)).await?;
        match status {
            OrderStatus::Pending => tokio::time::sleep(PACE).await,
            OrderStatus::Invalid => return Err(refusal(order).await),
            OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid => return Ok(()),
        }
    }
}

/// Why an order was refused: the authority says so at the proofs.
async fn refusal(order: &mut Order) -> Error {
    if let Some(problem) = order.state().error.clone() {
        return Error::Api(problem);
    }
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = patiently(async || {
            let state = authorization.refresh().await?;
            let mut challenges = state.challenges.iter();
            Ok(challenges.find_map(|challenge| challenge.error.clone()))
        });
        if let Ok(Some(problem)) = state.await {
            return Error::Api(problem);
        }
    }
    Error::Str("the authority does not say why it refused the order")
}

async fn download(order: &mut Order) -> Result<String, Error> {
    loop {
        let chain = patiently(async || {
            order.refresh().await?;
            order.certificate().await
        })
        .await?;
        match chain {
            Some(chain) => return Ok(chain),
            None => tokio::time::sleep(PACE).await,
        }
    }
}
