/* schemas.h - what the objects in answers look like, for the description of the API.  All pure. */
#ifndef POSTERN_API_SCHEMAS_H
#define POSTERN_API_SCHEMAS_H

struct pst_buf;

/* Append the members of components/schemas, without braces. */
void pst_schemas_add(struct pst_buf *to);
/* Append the JSON schema of an answer with this member: {"app":App}, {"apps":[App]}.  One that no
 * table knows is an object that has it. */
void pst_schema_of_root(const char *root, struct pst_buf *to);

#endif
