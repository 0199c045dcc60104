/*
 * replica_fuzz.c - the decoders of the replica's records against any bytes.  The first byte picks
 * the kind; length and checksum are put right, since no fuzzer guesses those.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <postern/replica_record.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_all(const struct pst_replica_in *in)
{
    static struct pst_replica_name name;
    static struct pst_replica_app app;
    struct pst_replica_cert cert;
    struct pst_replica_issuer issuer;
    struct pst_replica_challenge challenge;
    struct pst_replica_ticket ticket;
    struct pst_replica_default def;
    struct pst_replica_probe probe;
    struct pst_replica_text text;
    struct pst_replica_state state;
    volatile unsigned char touched = 0;

    (void)pst_replica_name_decode(in, &name);
    (void)pst_replica_app_decode(in, &app);
    if (pst_replica_cert_decode(in, &cert) == PST_REPLICA_OK && cert.leaf_len)
        touched = cert.leaf[cert.leaf_len - 1];
    if (pst_replica_issuer_decode(in, &issuer) == PST_REPLICA_OK && issuer.der_len)
        touched = issuer.der[issuer.der_len - 1];
    (void)pst_replica_challenge_decode(in, &challenge);
    if (pst_replica_ticket_decode(in, &ticket) == PST_REPLICA_OK && ticket.sealed_len)
        touched = ticket.sealed[ticket.sealed_len - 1];
    (void)pst_replica_default_decode(in, &def);
    if (pst_replica_probe_decode(in, &probe) == PST_REPLICA_OK && probe.sealed_len)
        touched = probe.sealed[probe.sealed_len - 1];
    (void)pst_replica_text_decode(in, &text);
    (void)pst_replica_state_decode(in, &state);
    (void)touched;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pst_replica_in in = {.key = "k", .key_len = 1};

    if (size < 1)
        return 0;
    in.data = data + 1;
    in.len = size - 1;
    decode_all(&in);
    if (in.len < PST_REPLICA_HEADER || in.len > PST_REPLICA_RECORD_MAX)
        return 0;

    unsigned char *copy = malloc(in.len);
    if (!copy)
        return 0;
    memcpy(copy, in.data, in.len);
    copy[0] = (unsigned char)(PST_REPLICA_HEADER + (copy[0] & 7));
    copy[1] = 0;
    copy[2] |= 1;
    copy[3] = data[0] % PST_REPLICA_KIND__END;
    for (int i = 0; i < 4; i++)
        copy[4 + i] = (unsigned char)(in.len >> (8 * i));
    uint64_t sum = pst_replica_checksum(in.key, in.key_len, copy, in.len);
    for (int i = 0; i < 8; i++)
        copy[16 + i] = (unsigned char)(sum >> (8 * i));
    in.data = copy;
    decode_all(&in);
    free(copy);
    return 0;
}
