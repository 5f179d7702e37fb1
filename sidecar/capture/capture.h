/*
 * The command `weft-sidecar capture`: writes the redirect rules of this network namespace, proves
 * them, and ends what is older than they are. Called by main when the first argument is "capture".
 */
#ifndef WEFT_SIDECAR_CAPTURE_CAPTURE_H
#define WEFT_SIDECAR_CAPTURE_CAPTURE_H

/* argv[0] is the program, argv[1] "capture". Returns the exit status: 0 done, 1 failed, 2 wrong
 * usage. */
int capture_main(int argc, char **argv);

#endif
