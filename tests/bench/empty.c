/* The floor of any program in C: start, find the C library, end. */
int
main(void)
{
	return 0;
}
