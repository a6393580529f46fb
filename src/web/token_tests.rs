use jsonwebtoken::EncodingKey;

use super::super::key_ring::{from_hex, key_id};
use super::*;
use serde_json::{Value, json};
use std::time::Instant;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f";

fn tokens() -> Tokens {
    Tokens::new(&Secret::new(KEY.to_owned()), "tavern-counter").unwrap()
}

fn encode(value: &Value) -> String {
    base64_url(value.to_string().as_bytes())
}

fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0u8; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for place in 0..=chunk.len() {
            let index = bits >> (18 - 6 * place) & 63;
            text.push(ALPHABET[index as usize] as char);
        }
    }
    text
}

fn sign(key: &[u8], header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = EncodingKey::from_secret(key);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn key() -> Vec<u8> {
    from_hex(KEY).unwrap()
}

fn good_header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": key_id(&key())})
}

fn good_claims() -> Value {
    let now = now();
    json!({
        "iss": "tavern-counter", "aud": "tavern-counter", "sub": "admin", "jti": "1",
        "iat": now, "nbf": now, "exp": now + 60,
    })
}

fn with(mut value: Value, name: &str, new: Value) -> Value {
    value[name] = new;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

#[test]
fn what_is_issued_is_accepted() {
    let tokens = tokens();
    let token = tokens.issue("admin").unwrap();
    let identity = tokens.check(&token).unwrap();
    assert_eq!(identity.user, "admin");
    assert!((now() + LIFE_SECONDS).abs_diff(identity.expires) <= 1);
    let hand_made = sign(&key(), &good_header(), &good_claims());
    assert!(
        tokens.check(&hand_made).is_ok(),
        "the forgeries below differ in one thing only"
    );
}

/// Every forgery is signed with the right key where that makes sense, so only the one thing named
/// can be why it is refused.
#[test]
fn forged_tokens_are_refused_quickly() {
    let (key, header, claims) = (key(), good_header(), good_claims());
    let good = sign(&key, &header, &claims);
    let parts: Vec<&str> = good.split('.').collect();
    let now = now();
    let h = |name, value| sign(&key, &with(header.clone(), name, value), &claims);
    let c = |name, value| sign(&key, &header, &with(claims.clone(), name, value));
    let unsigned = |alg: &str| {
        let header = encode(&with(header.clone(), "alg", json!(alg)));
        (
            format!("{header}.{}.", parts[1]),
            format!("{header}.{}.{}", parts[1], parts[2]),
        )
    };
    let mut forged = vec![
        ("empty".to_owned(), String::new()),
        (
            "no signature".to_owned(),
            format!("{}.{}.", parts[0], parts[1]),
        ),
        (
            "no payload".to_owned(),
            format!("{}..{}", parts[0], parts[2]),
        ),
        ("two parts".to_owned(), format!("{}.{}", parts[0], parts[1])),
        ("four parts".to_owned(), format!("{good}.x")),
        ("five parts".to_owned(), format!("{good}..")),
        ("many dots".to_owned(), ".".repeat(4096)),
        (
            "oversized".to_owned(),
            sign(
                &key,
                &header,
                &with(claims.clone(), "x", json!("a".repeat(4000))),
            ),
        ),
        ("padding".to_owned(), format!("{good}=")),
        ("white space".to_owned(), format!(" {good}")),
        ("not base64".to_owned(), "a.b!.c".to_owned()),
        (
            "other key".to_owned(),
            sign(&from_hex(OTHER).unwrap(), &header, &claims),
        ),
        ("empty key".to_owned(), sign(b"", &header, &claims)),
        (
            "kid as key".to_owned(),
            sign(key_id(&key).as_bytes(), &header, &claims),
        ),
        (
            "flipped signature".to_owned(),
            format!("{}.{}.{}", parts[0], parts[1], "A".repeat(43)),
        ),
        (
            "other payload".to_owned(),
            format!(
                "{}.{}.{}",
                parts[0],
                encode(&with(claims.clone(), "sub", json!("root"))),
                parts[2]
            ),
        ),
        (
            "jwk".to_owned(),
            h("jwk", json!({"kty": "oct", "k": "AAAA"})),
        ),
        (
            "jku".to_owned(),
            h("jku", json!("https://evil.example/keys")),
        ),
        (
            "x5u".to_owned(),
            h("x5u", json!("https://evil.example/keys")),
        ),
        ("x5c".to_owned(), h("x5c", json!(["AAAA"]))),
        ("crit".to_owned(), h("crit", json!(["exp"]))),
        ("b64".to_owned(), h("b64", json!(false))),
        ("zip".to_owned(), h("zip", json!("DEF"))),
        ("unknown header".to_owned(), h("whatever", json!(1))),
        ("typ".to_owned(), h("typ", json!("at+jwt"))),
        (
            "kid missing".to_owned(),
            sign(&key, &without(header.clone(), "kid"), &claims),
        ),
        ("kid null".to_owned(), h("kid", json!(null))),
        ("kid number".to_owned(), h("kid", json!(0))),
        ("kid other".to_owned(), h("kid", json!("0000000000000000"))),
        (
            "kid path".to_owned(),
            h("kid", json!("../../../../dev/null")),
        ),
        (
            "kid sql".to_owned(),
            h("kid", json!("x' UNION SELECT 'key")),
        ),
        ("alg array".to_owned(), h("alg", json!(["HS256"]))),
        ("header array".to_owned(), sign(&key, &json!([1]), &claims)),
        ("claims array".to_owned(), sign(&key, &header, &json!([1]))),
        (
            "expired".to_owned(),
            c("exp", json!(now - LEEWAY_SECONDS - 1)),
        ),
        (
            "exp beyond an hour".to_owned(),
            c("exp", json!(now + LIFE_SECONDS + 60)),
        ),
        ("exp huge".to_owned(), c("exp", json!(u64::MAX))),
        (
            "exp string".to_owned(),
            c("exp", json!((now + 60).to_string())),
        ),
        ("exp negative".to_owned(), c("exp", json!(-1))),
        ("exp float".to_owned(), c("exp", json!(1e300))),
        ("exp null".to_owned(), c("exp", json!(null))),
        ("nbf future".to_owned(), c("nbf", json!(now + 60))),
        (
            "nbf string".to_owned(),
            c("nbf", json!((now + 9999).to_string())),
        ),
        ("iat future".to_owned(), c("iat", json!(now + 60))),
        ("iat string".to_owned(), c("iat", json!("0"))),
        ("aud other".to_owned(), c("aud", json!("somebody"))),
        ("aud array".to_owned(), c("aud", json!(["somebody"]))),
        ("iss other".to_owned(), c("iss", json!("somebody"))),
        ("sub empty".to_owned(), c("sub", json!(""))),
        ("sub number".to_owned(), c("sub", json!(1))),
        ("jti empty".to_owned(), c("jti", json!(""))),
    ];
    for alg in [
        "none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "",
    ] {
        let (no_signature, old_signature) = unsigned(alg);
        forged.push((format!("alg {alg:?}, no signature"), no_signature));
        forged.push((format!("alg {alg:?}, old signature"), old_signature));
        forged.push((
            format!("alg {alg:?}, signed as HS256"),
            h("alg", json!(alg)),
        ));
    }
    for claim in ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"] {
        let text = sign(&key, &header, &without(claims.clone(), claim));
        forged.push((format!("{claim} missing"), text));
    }
    let doubled = r#""alg":"none","alg":"HS256","kid":""#;
    let doubled = base64_url(format!("{{{doubled}{}\"}}", key_id(&key)).as_bytes());
    forged.push((
        "alg twice".to_owned(),
        format!("{doubled}.{}.{}", parts[1], parts[2]),
    ));

    let tokens = tokens();
    for (what, token) in forged {
        let started = Instant::now();
        assert!(
            tokens.check(&token).is_err(),
            "{what} was accepted: {token}"
        );
        assert!(
            started.elapsed().as_millis() < 50,
            "{what} took {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn duplicate_claims_are_refused() {
    let now = now();
    let claims = format!(
        r#"{{"iss":"tavern-counter","aud":"tavern-counter","sub":"admin","sub":"root","jti":"1","iat":{now},"nbf":{now},"exp":{}}}"#,
        now + 60
    );
    let signed = format!(
        "{}.{}",
        encode(&good_header()),
        base64_url(claims.as_bytes())
    );
    let secret = EncodingKey::from_secret(&key());
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &secret, Algorithm::HS256).unwrap();
    assert_eq!(
        tokens().check(&format!("{signed}.{signature}")),
        Err(Refusal::Invalid)
    );
}

#[test]
fn refusals_say_why_only_for_genuine_tokens() {
    let tokens = tokens();
    let late = with(
        with(good_claims(), "exp", json!(now() - 60)),
        "iat",
        json!(now() - 120),
    );
    assert_eq!(
        tokens.check(&sign(&key(), &good_header(), &late)),
        Err(Refusal::Expired)
    );
    let early = with(good_claims(), "nbf", json!(now() + 60));
    assert_eq!(
        tokens.check(&sign(&key(), &good_header(), &early)),
        Err(Refusal::NotYet)
    );
    let forged = sign(&from_hex(OTHER).unwrap(), &good_header(), &late);
    assert_eq!(tokens.check(&forged), Err(Refusal::Invalid));
}

/// bug: what one app of a stack had signed was good at the other.
#[test]
fn a_token_of_another_app_is_refused_though_the_key_is_the_same() {
    let other = Tokens::new(&Secret::new(KEY.to_owned()), "tavern-counter-api").unwrap();
    let token = other.issue("admin").unwrap();
    assert!(other.check(&token).is_ok());
    assert_eq!(tokens().check(&token), Err(Refusal::Invalid));
}
