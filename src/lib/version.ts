/** Version of this program: gateway, agent and CLI are one. In step with package.json by a test. */
export const VERSION = "0.1.0";
