/* libxml2 on MemoryBucket. */
#include <libxml/parser.h>
#include <libxml/xmlmemory.h>
#include <memorybucket/memorybucket.h>
#include <stdio.h>
#include <string.h>

static char *duplicate(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = mb_alloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

static int use_memorybucket(void)
{
    return xmlMemSetup(mb_free, mb_alloc, mb_realloc, duplicate); /* free is the first */
}

int main(void)
{
    if (use_memorybucket() != 0) {
        fputs("libxml2 refuses the functions\n", stderr);
        return 1;
    }
    xmlInitParser();
    static const char text[] = "<words><word n='1'>one</word><word n='2'>two &amp; more</word></words>";
    xmlDoc *document = xmlReadMemory(text, sizeof text - 1, "words.xml", NULL, 0);
    if (document == NULL) {
        return 1;
    }
    xmlChar *content = xmlNodeGetContent(xmlDocGetRootElement(document));
    puts((const char *)content);
    xmlFree(content); /* not free: it is from mb_alloc */
    xmlFreeDoc(document);
    xmlCleanupParser();
    return 0;
}
