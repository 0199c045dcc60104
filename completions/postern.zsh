#compdef postern
# completion of postern for zsh, made by: postern completion zsh
_postern_commands() {
    local -a commands=(
        'login:Log in with an API token.'
        'logout:Forget the stored API token of the server.'
        'self:Show the account that is logged in.'
        'regions:List the regions of the platform.'
        'apps:List your apps.'
        'create:Make an app.'
        'apps-info:Show an app and its settings.'
        'force-https:Send visitors of an app from HTTP to HTTPS, or stop that.'
        'destroy:Remove an app with its upstreams and domains.'
        'rename:Give an app another name.'
        'restart:Note that an app was to be restarted.'
        'sticky-session:Switch sticky sessions of an app on or off.'
        'router-logs:Switch the log lines of an app'\''s requests on or off; without a flag, off.'
        'env:List the variables of an app.'
        'env-get:Print the value of a variable.'
        'env-set:Set variables of an app.'
        'env-unset:Remove variables of an app.'
        'dns-providers:List the DNS providers that can be named in DNS_PROVIDER, and their variables.'
        'upstreams:List the addresses that an app'\''s requests are passed on to.'
        'upstreams-set:Replace an app'\''s upstreams.'
        'upstreams-drain:Give upstreams no new requests, or --disable that again.'
        'domains:List the domains of an app and their state.'
        'domains-add:Add a domain to an app.'
        'domains-ssl:Serve a certificate of your own for a domain, or no longer.'
        'csr:Make a key and a certificate request for a domain.'
        'csrs:List the certificate requests of a domain.'
        'csr-remove:Forget a certificate request and its key.'
        'domains-remove:Remove a domain from an app.'
        'domains-explain:Tell why a domain is in its state, and what to do.'
        'domains-proof:Show the DNS record that proves that a name is yours.'
        'domains-retry:Try at once again to get a domain'\''s certificate.'
        'set-canonical-domain:Send visitors of the app'\''s other domains to this one.'
        'unset-canonical-domain:Have no canonical domain any more.'
        'domains-import:Add many domains from a file with one JSON object a line.'
        'domains-export:Print all domains, one JSON object a line, as domains-import takes them.'
        'imports:List your imports and how far they are.'
        'imports-refused:Print the lines that an import refused and why, one JSON object a line.'
        'imports-cancel:Bring an import to its end.'
        'tokens:List your API tokens.'
        'tokens-create:Make an API token; it is shown once.'
        'tokens-renew:Give an API token another secret.'
        'tokens-revoke:Revoke an API token and its sessions.'
        'users:List the accounts (operators only).'
        'users-add:Make an account (operators only).'
        'users-remove:Remove an account that has no apps (operators only).'
        'ledger:Show what is left of the CA'\''s limits (operators only).'
        'cas:List the CAs, or show all that is known of one (operators only).'
        'bundles:List the certificates that are kept for domains added later.'
        'bundles-remove:Keep a certificate no longer for domains added later.'
        'certs-check:Judge a certificate as an upload would be; no server is needed.'
        'certs-show:Show what stands in files with certificates and keys.'
        'certs-convert:Print certificates and keys of any form as PEM.'
        'events:List what happened, newest first.'
        'platform:Show the certificates of the platform names (operators only).'
        'edges:List the edges (operators only).'
        'edges-remove:Remove an edge (operators only).'
        'edges-enrol-token:Make a one-time token with which an edge joins (operators only).'
        'webhooks:List your webhooks and how they fare.'
        'webhooks-add:Have events sent to a URL.'
        'webhooks-remove:Remove a webhook.'
        'webhooks-ping:Send a test event to a webhook.'
        'version:Show the version of this program.'
        'help:Explain the program or a command.'
        'completion:Print the completion script for bash, zsh or fish.'
        'mdoc:Print the source of the manual page postern(1).'
    )
    _describe command commands
}
_postern() {
    local context state line
    _arguments -C \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '1:command:_postern_commands' '*::argument:->argument'
    [[ $state == argument ]] || return
    case $line[1] in
    login)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--api-token[The API token; without it, it is read from standard input.]:TOKEN:' ;;
    force-https)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--enable[Switch it on; so does no flag.]' \
            '--disable[Switch it off.]' ;;
    destroy)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--force[Do not ask for a confirmation.]' ;;
    sticky-session)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--enable[Switch it on; so does no flag.]' \
            '--disable[Switch it off.]' ;;
    router-logs)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--enable[Switch it on; so does no flag.]' \
            '--disable[Switch it off.]' ;;
    upstreams-drain)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--enable[Switch it on; so does no flag.]' \
            '--disable[Switch it off.]' ;;
    domains-add)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--wait[Wait until a certificate of its own is served.]' \
            '--timeout[Longest time to wait; 600 at first.]:SECONDS:' \
            '--no-letsencrypt[Do not get a certificate for it\: no CA is ever asked.]' \
            '--canonical[Send visitors of the app'\''s other domains to this one.]' \
            '--cert[The certificate, with its intermediates.]:FILE:' \
            '--key[Its private key.]:FILE:' \
            '--passphrase[What opens an encrypted key; better set POSTERN_PASSPHRASE, which other users do not see.]:TEXT:' \
            '--skip-proof[Ask for no proof that it is the app'\''s owner'\''s (operators only).]' ;;
    domains-ssl)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--no-letsencrypt[Do not get a certificate for it\: no CA is ever asked.]' \
            '--letsencrypt[Get a certificate for it again.]' \
            '--cert[The certificate, with its intermediates.]:FILE:' \
            '--key[Its private key.]:FILE:' \
            '--passphrase[What opens an encrypted key; better set POSTERN_PASSPHRASE, which other users do not see.]:TEXT:' ;;
    csr)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--key-type[p256 (at first), p384, rsa2048, rsa3072 or rsa4096.]:TYPE:' \
            '--country[Country in two capital letters, as FR.]:CODE:' \
            '--state[State or province.]:NAME:' \
            '--locality[City.]:NAME:' \
            '--organization[Company or association.]:NAME:' \
            '--unit[Part of the organization.]:NAME:' \
            '--common-name[Common name; at first the domain.]:NAME:' \
            '--email[Mail address.]:ADDRESS:' ;;
    domains-import)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--dry-run[Judge all lines and change nothing.]' \
            '--resume[Go on with an import that was interrupted.]:ID:' ;;
    domains-export)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--output[Write to this file; it appears once it is whole.]:FILE:' ;;
    tokens)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--user[Work on this account'\''s tokens (operators only).]:NAME:' ;;
    tokens-create)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--user[Work on this account'\''s tokens (operators only).]:NAME:' \
            '--read-only[The token may only read.]' ;;
    tokens-revoke)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--user[Work on this account'\''s tokens (operators only).]:NAME:' ;;
    users-add)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--role[operator, tenant (without this) or reader.]:ROLE:' ;;
    certs-check)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--cert[The certificate, with its intermediates.]:FILE:' \
            '--key[Its private key.]:FILE:' \
            '--passphrase[What opens an encrypted key; better set POSTERN_PASSPHRASE, which other users do not see.]:TEXT:' \
            '--domain[The name that the certificate must cover.]:NAME:' \
            '--roots[Public roots in PEM; at first those of the system.]:FILE:' \
            '--at[Judge as of this time, as 2027-01-31T12\:00\:00Z.]:TIME:' ;;
    certs-show)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--passphrase[What opens an encrypted key; better set POSTERN_PASSPHRASE, which other users do not see.]:TEXT:' ;;
    certs-convert)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--passphrase[What opens an encrypted key; better set POSTERN_PASSPHRASE, which other users do not see.]:TEXT:' ;;
    events)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--limit[How many to show; 50 at first, 10 with --follow.]:NUMBER:' \
            '--follow[Go on with what happens, until stopped.]' ;;
    webhooks-add)
        _arguments \
            '--app[The app to work on, by name or id.]:NAME:' \
            '--json[Print the server'\''s answer as JSON.]' \
            '--region[Accepted for compatibility; a server has one.]:NAME:' \
            '--url[The server\: https\://..., http\:// on a loopback address, or unix\:/path.]:URL:' \
            '--help[Explain the command.]' \
            '--events[Only these kinds, separated by commas\: domain.added, domain.*]:KINDS:' ;;
    help) _postern_commands ;;
    completion) _values shell bash zsh fish ;;
    esac
}
_postern "$@"
