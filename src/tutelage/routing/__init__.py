"""Which system answers an input, and the proof that it may: confidence, cascades under a certificate, shift, routers."""
