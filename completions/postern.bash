# completion of postern for bash, made by: postern completion bash
_postern() {
    local word=${COMP_WORDS[COMP_CWORD]} verb= flags= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -a|--app|--region|--url|--api-token|--role|--user|--timeout|--limit|--events|--cert|--key|--passphrase|--domain|--roots|--at|--key-type|--country|--state|--locality|--organization|--unit|--common-name|--email|--resume|--output) ((i++)) ;;
        -*) ;;
        *) verb=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $verb in
    login) flags=' --api-token' ;;
    force-https) flags=' --enable --disable' ;;
    destroy) flags=' --force' ;;
    sticky-session) flags=' --enable --disable' ;;
    router-logs) flags=' --enable --disable' ;;
    upstreams-drain) flags=' --enable --disable' ;;
    domains-add) flags=' --wait --timeout --no-letsencrypt --canonical --cert --key --passphrase --skip-proof' ;;
    domains-ssl) flags=' --no-letsencrypt --letsencrypt --cert --key --passphrase' ;;
    csr) flags=' --key-type --country --state --locality --organization --unit --common-name --email' ;;
    domains-import) flags=' --dry-run --resume' ;;
    domains-export) flags=' --output' ;;
    tokens) flags=' --user' ;;
    tokens-create) flags=' --user --read-only' ;;
    tokens-revoke) flags=' --user' ;;
    users-add) flags=' --role' ;;
    certs-check) flags=' --cert --key --passphrase --domain --roots --at' ;;
    certs-show) flags=' --passphrase' ;;
    certs-convert) flags=' --passphrase' ;;
    events) flags=' --limit --follow' ;;
    webhooks-add) flags=' --events' ;;
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$flags --app --json --region --url --help" -- "$word"))
    elif [[ -z $verb || $verb == help ]]; then
        COMPREPLY=($(compgen -W 'login logout self regions apps create apps-info force-https destroy rename restart sticky-session router-logs env env-get env-set env-unset dns-providers upstreams upstreams-set upstreams-drain domains domains-add domains-ssl csr csrs csr-remove domains-remove domains-explain domains-proof domains-retry set-canonical-domain unset-canonical-domain domains-import domains-export imports imports-refused imports-cancel tokens tokens-create tokens-renew tokens-revoke users users-add users-remove ledger cas bundles bundles-remove certs-check certs-show certs-convert events platform edges edges-remove edges-enrol-token webhooks webhooks-add webhooks-remove webhooks-ping version help completion mdoc' -- "$word"))
    elif [[ $verb == completion ]]; then
        COMPREPLY=($(compgen -W 'bash zsh fish' -- "$word"))
    fi
}
complete -F _postern postern
