/// What is wrong with a pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// DER or PKCS#12 where PEM is needed.
    #[error("the certificate is binary (DER or PKCS#12), not PEM")]
    BinaryCertificate,
    /// The same of the key.
    #[error("the key is binary (DER or PKCS#12), not PEM")]
    BinaryKey,
    /// Not what it should be.
    #[error("there is no certificate in the certificate's file")]
    NoCertificate,
    /// A certificate that cannot be read.
    #[error("the certificate's file cannot be read: {0}")]
    BadCertificate(String),
    /// Not what it should be.
    #[error("there is no private key in the key's file")]
    NoKey,
    /// A key that cannot be read.
    #[error("the key cannot be used: {0}")]
    BadKey(String),
    /// nginx would have to ask for a passphrase.
    #[error("the key is encrypted: nobody is there to type its passphrase when nginx starts")]
    EncryptedKey,
    /// Two halves of two pairs.
    #[error("the key is not the certificate's")]
    OtherKey,
    /// Its life is over.
    #[error("the certificate of {subject} expired on {on}")]
    Expired {
        /// Whose.
        subject: String,
        /// When.
        on: String,
    },
    /// Its life has not begun.
    #[error("the certificate of {subject} is not valid before {from}")]
    NotYetValid {
        /// Whose.
        subject: String,
        /// When it begins.
        from: String,
    },
    /// It can be factored.
    #[error("the RSA key of {subject} has {bits} bits: 2048 are the least that browsers take")]
    ShortKey {
        /// Whose.
        subject: String,
        /// How many.
        bits: usize,
    },
    /// No browser takes it.
    #[error("the key of {subject} is neither RSA nor ECDSA (P-256, P-384): no browser takes it")]
    OddKey {
        /// Whose.
        subject: String,
    },
    /// It can be forged.
    #[error("the certificate of {subject} is signed with {algorithm}: no browser takes it")]
    WeakSignature {
        /// Whose.
        subject: String,
        /// `SHA-1`, `MD5`.
        algorithm: &'static str,
    },
    /// An authority's certificate in a server's place.
    #[error("the first certificate ({subject}) is an authority's, not a server's")]
    Authority {
        /// Whose.
        subject: String,
    },
    /// For mail, clients or code.
    #[error("the certificate of {subject} is not for servers (extended key usage)")]
    OtherUse {
        /// Whose.
        subject: String,
    },
    /// Nobody else vouches for it.
    #[error("the certificate signs itself")]
    SignsItself,
    /// The right certificates, not each followed by its signer.
    #[error(
        "the chain is in the wrong order: each certificate must be followed by its signer, the server's first"
    )]
    WrongOrder,
    /// Something that does not belong.
    #[error("the chain is broken: {next} did not sign the certificate of {subject}")]
    NotItsSigner {
        /// Whose.
        subject: String,
        /// The one that follows.
        next: String,
    },
    /// Sent for nothing: who does not have it already does not trust it.
    #[error("the chain ends with the root ({subject}): a root is not sent")]
    RootIncluded {
        /// Whose.
        subject: String,
    },
    /// A link is missing.
    #[error(
        "the chain is incomplete: {signer}, which signed the last certificate, is neither in the file nor a root of this host"
    )]
    Incomplete {
        /// Whose certificate is missing.
        signer: String,
    },
    /// Browsers have not looked there since 2017.
    #[error(
        "`{name}` is only in the certificate's common name: browsers read the subject alternative names"
    )]
    CommonNameOnly {
        /// The name.
        name: String,
    },
    /// A wildcard is one label.
    #[error("`{wildcard}` does not cover `{name}`: a wildcard stands for one label")]
    WildcardDepth {
        /// The name.
        name: String,
        /// The wildcard.
        wildcard: String,
    },
    /// Not for this stack.
    #[error("the certificate does not cover `{name}` (it has {has})")]
    NotCovered {
        /// The name.
        name: String,
        /// What it has.
        has: String,
    },
}

impl Flaw {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::BinaryCertificate => {
                "`openssl x509 -inform der -in FILE -out FILE.pem` converts DER, `openssl pkcs12 -in FILE -nokeys` PKCS#12"
            }
            Self::BinaryKey => {
                "`openssl pkey -inform der -in FILE -out FILE.pem` converts DER, `openssl pkcs12 -in FILE -nocerts -nodes` PKCS#12"
            }
            Self::NoCertificate | Self::BadCertificate(_) => {
                "`certificate` is a PEM file: the server's certificate, then those that signed it"
            }
            Self::NoKey | Self::BadKey(_) => "`key` is a PEM file with the certificate's own key",
            Self::EncryptedKey => {
                "`openssl pkey -in KEY -out PLAIN` removes the passphrase; keep the result root's own (0600)"
            }
            Self::OtherKey => {
                "are both files of the same order? Compare `openssl x509 -noout -pubkey` and `openssl pkey -pubout`"
            }
            Self::Expired { .. } => {
                "get a new one from its authority; if it is not that old, is the clock right (`timedatectl`)?"
            }
            Self::NotYetValid { .. } => {
                "is the clock right (`timedatectl`)? If so, wait, or ask the authority"
            }
            Self::ShortKey { .. } | Self::OddKey { .. } | Self::WeakSignature { .. } => {
                "order a new certificate, with an ECDSA P-256 or RSA 2048 key"
            }
            Self::Authority { .. } => "begin the file with the server's own certificate",
            Self::OtherUse { .. } => "order one for a web server (serverAuth)",
            Self::SignsItself => {
                "write `issuer = \"self-signed\"`, and Tavern makes and renews one"
            }
            Self::WrongOrder | Self::NotItsSigner { .. } => {
                "put the server's certificate first, then the one that signed it, and so on, without the root"
            }
            Self::RootIncluded { .. } => "remove the last certificate from the file",
            Self::Incomplete { .. } => {
                "add it to the file (authorities call it chain, bundle or intermediate); a private root belongs in /usr/local/share/ca-certificates (`update-ca-certificates`)"
            }
            Self::CommonNameOnly { .. } | Self::WildcardDepth { .. } | Self::NotCovered { .. } => {
                "order a certificate with all names of `hosts`, or correct `hosts`"
            }
        }
    }
}
